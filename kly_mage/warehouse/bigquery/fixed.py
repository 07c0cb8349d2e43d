"""What the first load of a project has fixed: the zone of its days, and of each source the columns and their hash."""

import hashlib

from kly_mage.common.errors import LOAD, NotBuiltError, SettingsError, WarehouseError
from kly_mage.common.settings import Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.base import Source
from kly_mage.declared.marts import DAILY_SUMMARY
from kly_mage.rows.rowhash import VERSION
from kly_mage.warehouse.bigquery import earlier
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.bigquery.schema import everything
from kly_mage.warehouse.bigquery.text import literal, placed

_ARTICLE = 'ga4_article'


def once(names_and_values: str) -> str:
    """The script that fixes what is not fixed yet.

    Behind a lock: of two commands at once each would have its own value, since an INSERT is in no other's way.

    Args:
        names_and_values: a query of ``name`` and ``value``.
    """
    return f"""\
begin transaction;
update ops.{DAILY_SUMMARY.name}_lock set holder = 'settings' where true;
insert into ops.settings (name, value)
select fixed.name, fixed.value
from ({names_and_values}) as fixed
where fixed.name not in (select known.name from ops.settings as known);
commit transaction;
"""


AGREE = once(f"select '{_ARTICLE}' as name, @value as value")


def hold(client: Client, settings: Settings) -> None:
    """Have all tables there, and what is fixed as it was.

    Raises:
        SettingsError: the zone or a declaration is another one than that of the rows that are loaded.
    """
    statements = everything(settings.bigquery_location, settings.timezone)
    made, now = _made(statements), _now(settings)
    try:
        known = _read(client)
    except WarehouseError:  # not there yet; what else is wrong the statements meet as well
        known = {}
    if made in known and not now.keys() - known.keys():
        _refuse(known, now)
        return
    rules = dict[str, str]()
    if known and earlier.is_before_corrections(client, known):
        plain = {f'source {name}': _rule(source, has_whole_days=False) for name, source in SOURCES.items()}
        rules = {name: now[name] for name, rule in plain.items() if known.get(name) == rule}
    _refuse(known | rules, now)
    if known:
        earlier.bring_over(client, settings.bigquery_location, rules)
    rows = ', '.join(f'({literal(name)}, {literal(value)})' for name, value in (now | {made: ''}).items())
    each = f'select * from unnest(array<struct<name string, value string>>[{rows}])'
    client.run(f'{statements}\n{once(each)}', what='schema')
    _refuse(_read(client), now)  # another process may have been faster


def look(client: Client, settings: Settings) -> None:
    """See that all tables are there, and what is fixed as it was; for who may make nothing.

    Raises:
        NotBuiltError: they are not, or are those of another version.
        SettingsError: as ``hold``.
    """
    if not client.has('ops.settings'):
        raise NotBuiltError(f'nothing is loaded here yet: {LOAD}')
    known = _read(client)
    _refuse(known, _now(settings))
    if _made(everything(settings.bigquery_location, settings.timezone)) not in known:
        raise NotBuiltError('the tables are those of another version: python -m kly_mage status makes what is lacking')


def agree(client: Client, settings: Settings) -> None:
    """Hold the loads of an export to one list of where an event names its article (``KLY_GA4_ARTICLE``).

    Another list gives the same events other articles, so other hashes: each would be a version of its own.

    Raises:
        SettingsError: it is another one than that of the rows that are loaded.
    """
    now = ' '.join(settings.ga4_article)
    if _ARTICLE not in (known := _read(client)):
        client.run(AGREE, {'value': now}, what='settings')
        known = _read(client)
    if known[_ARTICLE] != now:
        raise SettingsError(
            f"the events of this project have the articles that KLY_GA4_ARTICLE='{known[_ARTICLE]}' finds, not '{now}':"
            ' set it back, or load into another project'
        )


def _now(settings: Settings) -> dict[str, str]:
    return {'timezone': settings.timezone, **{f'source {name}': _rule(source) for name, source in SOURCES.items()}}


def _made(statements: str) -> str:
    return f'schema {hashlib.sha256(placed(statements, "").encode()).hexdigest()[:16]}'


def _read(client: Client) -> dict[str, str]:
    rows = client.run('select name, value from ops.settings', what='settings')
    return {row['name']: row['value'] for row in rows}


def _rule(source: Source, *, has_whole_days: bool = True) -> str:
    columns = ', '.join(f'{column.name} {column.kind}' for column in source.columns)
    over = 'all columns' if source.hash_columns is None else ', '.join(sorted(source.hash_columns))
    whole = f'; {", ".join(source.complete)} hold {source.whole_days or "their"} days whole' if source.complete else ''
    return f'{VERSION} over {over}; {columns}{whole if has_whole_days else ""}'


def _refuse(known: dict[str, str], now: dict[str, str]) -> None:
    for name, value in now.items():
        if known.get(name, value) == value:
            continue
        if name == 'timezone':
            raise SettingsError(f'KLY_TIMEZONE={value!r}, but the days of this project are those of {known[name]}: set that')
        raise SettingsError(
            f'kly_mage/declared/{name.removeprefix("source ")}.py has other columns or another hash than the rows that are'
            ' loaded, which is carried through on PostgreSQL only: take the change back, or load into another project'
        )
