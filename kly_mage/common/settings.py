"""Every setting, read in one way whoever asks: make, the command line, cron, a block in Mage, compose.

The environment counts before ``.env`` in the repository (``KLY_ENV_FILE`` names another file), and an empty value counts as
none. A setting is one field of ``Settings``: its variable, how its text is read, and its default.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from kly_mage.common import env_file
from kly_mage.common.errors import SettingsError

UTC = timezone.utc  # noqa: UP017 -- Mage's own Docker image has Python 3.10, which lacks datetime.UTC
PROJECT = Path(__file__).resolve().parents[1]
REPOSITORY = PROJECT.parent
ENV_FILE = 'KLY_ENV_FILE'
# Variables of ours that are no settings: where they are, the mark of the editor's processes, what the tests ask for.
_NO_SETTINGS = (ENV_FILE, 'KLY_EDITOR', 'KLY_TEST_POSTGRES', 'KLY_TEST_FAIL', 'KLY_WRITE_SNAPSHOTS')


def _setting(variable: str, read: Callable[[str], Any], default: Any = None, *, secret: bool = False) -> Any:
    """A field read from ``variable``; a secret's value stands in no representation and no message."""
    return field(default=default, repr=not secret, metadata={'variable': variable, 'read': read, 'secret': secret})


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or len(text) > len(str(most)) or not least <= int(text) <= most:
            raise ValueError(f'is no whole number from {least} to {most:,}')
        return int(text)

    return read


def _one_of(*values: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError(f'is neither {" nor ".join(values)}')
        return text

    return read


def _dataset(text: str) -> str:
    if not re.fullmatch(r'([a-z0-9.-]+:)?[a-z][a-z0-9-]{0,62}\.[A-Za-z0-9_]{1,1024}', text):
        raise ValueError('is no data set of BigQuery, such as my-project.analytics_123456')
    return text


def _buckets(text: str) -> tuple[str, ...]:
    for url in text.split():
        if not re.fullmatch(r'gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^/\x00-\x1f]+)*/?', url):
            raise ValueError('is no place in Cloud Storage, such as gs://my-bucket/landing; blanks separate several')
    return tuple(text.split())


def _prefix(text: str) -> str:
    if not re.fullmatch('[A-Za-z_][A-Za-z0-9_]{0,99}', text):
        raise ValueError('is no beginning of the name of a data set: letters, digits and _')
    return text


def _percent(text: str) -> Decimal:
    if not re.fullmatch(r'[0-9]{1,3}([.][0-9]{1,6})?', text) or Decimal(text) > 100:
        raise ValueError('is no percentage from 0 to 100')
    return Decimal(text)


def time_zone(text: str) -> str:
    """The name of a time zone, checked.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError('is no time zone; use a name such as Asia/Jakarta') from None
    return text


def _article(text: str) -> tuple[str, ...]:
    entries = tuple(text.split())
    for entry in entries:
        if entry.startswith('path:'):
            _expression(entry.removeprefix('path:'))
        elif not re.fullmatch('[A-Za-z][A-Za-z0-9_]{0,39}', entry):
            raise ValueError(
                f'has {entry!r}, which is neither the name of a parameter nor path:EXPRESSION; blanks separate them'
            )
    return entries


def _expression(text: str) -> None:
    import polars as pl  # only whoever sets one pays for it

    try:
        # The engine that reads the paths: the time it takes follows the text, whatever the expression is.
        groups = list(filter(None, pl.Series(['']).str.extract_groups(text).struct.fields))
    except pl.exceptions.ComputeError as error:
        wrong = str(error).strip().splitlines()[-1].rpartition('error: ')[2]
        raise ValueError(f'has path:{text}, which is no regular expression ({wrong})') from None
    if len(groups) != 1:
        raise ValueError(f'has path:{text}, which has {len(groups)} groups (…); the article is what stands in the only one')


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        if parts.scheme in ('http', 'https') and parts.hostname:
            return text
    except ValueError:
        pass  # urllib's words would tell parts of it
    raise ValueError('is no address that begins with https:// or http://')


@dataclass(frozen=True)
class Settings:
    """Everything that can be set, checked. Folders are absolute; one written in ``.env`` is relative to that file."""

    data_dir: Path = _setting('KLY_DATA_DIR', Path, REPOSITORY / 'data')
    """The landing zone."""

    mapping: Path | None = _setting('KLY_MAPPING', Path)
    """What a publisher's own columns are; None for ``landing.toml`` in the landing zone, if there is one."""

    timezone: str = _setting('KLY_TIMEZONE', time_zone, 'Asia/Jakarta')
    """The zone in which a day is a day."""

    late_days: int = _setting('KLY_LATE_DAYS', _whole(0, 3650), 3)
    """How many days after its own day a row may still arrive in a dated file."""

    settle_seconds: int = _setting('KLY_SETTLE_SECONDS', _whole(0, 86_400), 2)
    """A file changed less than so many seconds ago may still be written to, and is left for the next run."""

    ga4_article: tuple[str, ...] = _setting('KLY_GA4_ARTICLE', _article, ('content_id', 'article_id', 'post_id'))
    """Where an event of GA4's export names its article, in this order: a parameter, or ``path:`` and a regular expression
    over the path of its page, whose only group is the article."""

    ga4_dataset: str | None = _setting('KLY_GA4_DATASET', _dataset)
    """BigQuery's data set with GA4's export, ``PROJECT.analytics_NUMBER``; the project also pays for what is read."""

    buckets: tuple[str, ...] = _setting('KLY_BUCKET', _buckets, ())
    """Where deliveries land in Cloud Storage, ``gs://BUCKET/PREFIX``: below it a folder per source."""

    fetch_max_bytes: int = _setting('KLY_FETCH_MAX_BYTES', _whole(1, 10**16), 100_000_000_000)
    """``fetch`` reads no more bytes of BigQuery, or of Cloud Storage, than that."""

    local_dir: Path = _setting('KLY_LOCAL_DIR', Path, REPOSITORY / '.local')
    """Where the embedded PostgreSQL keeps its data, and loads the days of large undated files for the next ones."""

    warehouse: str = _setting('KLY_WAREHOUSE', _one_of('postgres', 'bigquery'), 'postgres')
    """Where the rows are kept: ``postgres`` or ``bigquery``."""

    bigquery_project: str | None = _setting('KLY_BIGQUERY_PROJECT', str)
    """The project of the data sets bronze, gold, ops and staging, which also pays."""

    bigquery_location: str = _setting('KLY_BIGQUERY_LOCATION', str, 'US')
    """Where the data sets are, such as ``EU`` or ``asia-southeast2``."""

    bigquery_prefix: str = _setting('KLY_BIGQUERY_PREFIX', _prefix, '')
    """What stands in front of the names of these data sets, such as ``kly_``: for a project that has others of that name."""

    bigquery_max_bytes: int = _setting('KLY_BIGQUERY_MAX_BYTES', _whole(10_000_000, 10**16), 100_000_000_000)
    """No job may read more bytes than that: BigQuery refuses it before anything is billed."""

    host: str | None = _setting('POSTGRES_HOST', str)
    """Server name or socket folder; None means the embedded server."""

    port: int = _setting('POSTGRES_PORT', _whole(1, 65535), 5432)
    """The server's port."""

    dbname: str = _setting('POSTGRES_DBNAME', str, 'kly')
    """The warehouse's database."""

    user: str = _setting('POSTGRES_USER', str, 'postgres')
    """Who connects."""

    password: str | None = _setting('POSTGRES_PASSWORD', str, secret=True)
    """With which password; None leaves it to ``~/.pgpass`` or to the server's trust."""

    lock_wait: int = _setting('KLY_LOCK_WAIT', _whole(1, 86_400), 900)
    """Seconds to wait for another load or refresh that is in the way."""

    conflict_limit: Decimal = _setting('KLY_CONFLICT_LIMIT', _percent, Decimal(1))
    """Percent of a day's rows or money that may wait in conflicts before ``reconcile`` asks for a look."""

    editor_port: int = _setting('KLY_EDITOR_PORT', _whole(1, 65535), 6789)
    """Where the Mage editor listens."""

    dashboard_port: int = _setting('KLY_DASHBOARD_PORT', _whole(1, 65535), 6790)
    """Where the dashboard listens."""

    editor_hosts: str = _setting('KLY_EDITOR_HOSTS', str, '')
    """Addresses under which the editor and the dashboard are reached beside those of this machine: behind a proxy."""

    alert_webhook: str | None = _setting('KLY_ALERT_WEBHOOK', _address, secret=True)
    """Where a failed Mage run is posted. The address of a webhook is its key: a secret."""

    owner_password: str | None = _setting('MAGE_OWNER_PASSWORD', str, secret=True)
    """The password for the Mage editor; its first start makes one."""

    jwt_secret: str | None = _setting('MAGE_JWT_SECRET', str, secret=True)
    """What Mage signs its sessions with; the editor's first start makes one."""

    mage_dir: Path = _setting('MAGE_DATA_DIR', Path, REPOSITORY / '.mage_data')
    """Where Mage keeps the outputs of blocks."""

    mage_database: str | None = _setting('MAGE_DATABASE_CONNECTION_URL', str, secret=True)
    """Mage's own records; None for a database beside the warehouse."""


VARIABLES = {each.metadata['variable']: each.name for each in fields(Settings)}


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: a variable is set to something that cannot be meant, or ``.env`` cannot be read.
    """
    values, ours = environment(), os.environ
    return Settings(
        **{
            each.name: _read(each.metadata, values[variable], Path() if ours.get(variable) else env_path().parent)
            for each in fields(Settings)
            if (variable := each.metadata['variable']) in values
        }
    )


def environment() -> dict[str, str]:
    """What is set and not empty: ``.env``, and the environment before it."""
    return {name: value for given in (env_file.read(env_path()), os.environ) for name, value in given.items() if value}


def env_path() -> Path:
    """The ``.env`` that counts."""
    return Path(os.environ.get(ENV_FILE) or REPOSITORY / '.env').absolute()


def doubts() -> str | None:
    """One line about what is set and has no effect, most likely a typing error."""
    told = [_unknown(name) for name in sorted(environment()) if name.startswith('KLY_') and not _is_known(name)]
    if os.environ.get(ENV_FILE) and not env_path().exists():
        told.append(f'{ENV_FILE}={str(env_path())!r} is not there')
    return '; '.join(told) or None


def _read(setting: Any, text: str, folder: Path) -> Any:
    try:
        value = setting['read'](text)
    except ValueError as error:
        shown = '' if setting['secret'] else f'={text!r}'
        raise SettingsError(f'{setting["variable"]}{shown} {error}') from None
    return (folder / value).absolute() if isinstance(value, Path) else value


def _is_known(name: str) -> bool:
    return name in VARIABLES or name in _NO_SETTINGS


def _unknown(name: str) -> str:
    from difflib import get_close_matches  # only whoever mistypes pays for it

    near = get_close_matches(name, VARIABLES, 1)
    return f'{name} is no setting' + (f' (is {near[0]} meant?)' if near else '')
