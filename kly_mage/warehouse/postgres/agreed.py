"""Where the events of an export name their article: all loads have to agree on that.

Another list gives the rows of a file other articles, so other hashes: read again, they would count twice. The first load of
an export fixes it (``ops.settings``); with another one, whatever reads files or rows is refused, until no event is loaded.
"""

from psycopg2.extensions import cursor as Cursor

from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import Settings
from kly_mage.warehouse.postgres.connection import connect

_NAME = 'ga4_article'


def text(settings: Settings) -> str:
    """The list as it is set and stored."""
    return ' '.join(settings.ga4_article)


def fix(settings: Settings) -> None:
    """Remember the list, if none is; a load of an export does so before it begins."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute('insert into ops.settings values (%s, %s) on conflict (name) do nothing', (_NAME, text(settings)))


def hold(cursor: Cursor, settings: Settings) -> None:
    """Keep others from changing it until the open transaction ends.

    Raises:
        WarehouseError: it is another one.
    """
    cursor.execute('select value from ops.settings where name = %s for share', (_NAME,))
    found = cursor.fetchone()
    if found is None or found[0] != text(settings):
        raise WarehouseError(_refusal(found[0] if found else 'none', settings))


def let_go(settings: Settings) -> None:
    """Forget the list, so that another one can be set.

    Raises:
        WarehouseError: there are rows that were loaded with it.
    """
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute('select value from ops.settings where name = %s for update', (_NAME,))
        found = cursor.fetchone()
        cursor.execute('select exists(select from bronze.ga4_events)')
        if found and found[0] != text(settings) and cursor.fetchone()[0]:
            raise WarehouseError(_refusal(found[0], settings))
        cursor.execute('delete from ops.settings where name = %s', (_NAME,))


def _refusal(found: str, settings: Settings) -> str:
    return (
        f"the events of this warehouse have the articles that KLY_GA4_ARTICLE='{found}' finds, not '{text(settings)}': set "
        'it back; to change it, first take them out with it (python -m kly_mage unload --source ga4_events), then load '
        'them again'
    )
