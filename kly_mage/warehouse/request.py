"""What a load is asked for."""

from dataclasses import dataclass, replace
from datetime import datetime

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.files import LandingFile


@dataclass(frozen=True)
class Request:
    """What is to be loaded, and who asked for it.

    Attributes:
        source: the source.
        window: the days.
        files: the files the load looks at.
        found: the names of all files of the source.
        undeclared: columns of these files that the declaration does not have.
        started_by: the Mage trigger or the command.
        pipeline_run: id of the Mage pipeline run, if there is one.
        is_export: whether files may be of GA4's export.
    """

    source: Source
    window: Window
    files: list[LandingFile]
    found: list[str]
    undeclared: list[str]
    started_by: str
    pipeline_run: str | None = None
    is_export: bool = False

    def as_read(self, states: dict[str, datetime]) -> 'Request':
        """The same, with the files as their rows were read: in Mage minutes lie between the loader and this look.

        Args:
            states: when each file whose rows came had been changed last.
        """
        return replace(self, files=[replace(f, modified_at=states.get(f.name, f.modified_at)) for f in self.files])
