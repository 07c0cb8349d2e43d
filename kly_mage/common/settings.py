"""The environment, read once per call: where data lies, which clock counts, which PostgreSQL is used."""

import os
from dataclasses import dataclass, field
from datetime import timezone
from pathlib import Path
from zoneinfo import ZoneInfo

from kly_mage.common.errors import SettingsError

UTC = timezone.utc  # noqa: UP017 -- Mage's own Docker image has Python 3.10, which lacks datetime.UTC
PROJECT = Path(__file__).resolve().parents[1]
REPOSITORY = PROJECT.parent


@dataclass(frozen=True)
class Settings:
    """Everything the environment decides.

    Attributes:
        data_dir: the landing zone (``KLY_DATA_DIR``, default ``data/`` in the repository).
        timezone: the zone in which a day is a day (``KLY_TIMEZONE``, default ``Asia/Jakarta``).
        late_days: how many days after its own day a row may still arrive in a dated file (``KLY_LATE_DAYS``, default 3).
        local_dir: where the embedded PostgreSQL keeps its data (``KLY_LOCAL_DIR``, default ``.local/``).
        host: server name or socket folder (``POSTGRES_HOST``); None means the embedded server.
        port: ``POSTGRES_PORT``, default 5432.
        dbname: ``POSTGRES_DBNAME``, default ``kly``.
        user: ``POSTGRES_USER``, default ``postgres``.
        password: ``POSTGRES_PASSWORD``; kept out of every representation.
    """

    data_dir: Path
    timezone: str
    late_days: int
    local_dir: Path
    host: str | None
    port: int
    dbname: str
    user: str
    password: str | None = field(repr=False)


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a variable is set to something that cannot be meant.
    """
    timezone = os.environ.get('KLY_TIMEZONE') or 'Asia/Jakarta'
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise SettingsError(f'KLY_TIMEZONE={timezone!r} is no time zone; use a name such as Asia/Jakarta') from error
    return Settings(
        data_dir=Path(os.environ.get('KLY_DATA_DIR') or REPOSITORY / 'data').absolute(),
        timezone=timezone,
        late_days=_whole_number('KLY_LATE_DAYS', 3),
        local_dir=Path(os.environ.get('KLY_LOCAL_DIR') or REPOSITORY / '.local').absolute(),
        host=os.environ.get('POSTGRES_HOST') or None,
        port=_whole_number('POSTGRES_PORT', 5432),
        dbname=os.environ.get('POSTGRES_DBNAME') or 'kly',
        user=os.environ.get('POSTGRES_USER') or 'postgres',
        password=os.environ.get('POSTGRES_PASSWORD') or None,
    )


def _whole_number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise SettingsError(f'{name}={text!r} is not a whole number')
    return int(text)
