"""Which deliveries there are of a source: files of the landing zone, or tables of the warehouse itself."""

from kly_mage.common.settings import Settings
from kly_mage.declared.base import Source
from kly_mage.landing import files as landing
from kly_mage.warehouse.choice import warehouse


def find_files(settings: Settings, source: Source) -> list[landing.LandingFile]:
    """All of them, in the order of their delivery.

    Raises:
        KlyError: they cannot be looked at.
    """
    there = warehouse(settings).in_place(source)
    if there is not None:
        return there.files
    return landing.find_files(source, settings.data_dir, settings.timezone, settings.mapping)
