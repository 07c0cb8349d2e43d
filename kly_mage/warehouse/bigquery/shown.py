"""What a run in Mage shows of a mart: what its refresh has left, and the rows of the days that were loaded last."""

import polars as pl

from kly_mage.common.text import counted
from kly_mage.common.window import Window
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Joined, Mart
from kly_mage.warehouse.bigquery import gold
from kly_mage.warehouse.bigquery.client import Client
from kly_mage.warehouse.gold import Asked

ROWS = 100
LOADED_LAST = (
    "select start_day, end_day from ops.loads where status = 'done' and source in unnest(@sources)"
    ' order by pipeline_run is not distinct from @run desc, load_id desc limit 1'
)


def last_refresh(client: Client, name: str) -> str | None:
    """One line about the mart of this name, which was refreshed just now; None if there is no such mart."""
    if name not in {DAILY_SUMMARY.name, *(mart.name for mart in MARTS)}:
        return None
    text = f'select count(*) as rows_in_all, current_timestamp() as refreshed_at from gold.{name}'
    (told,) = client.run(text, what='show')
    return f'gold.{name}: {counted(told["rows_in_all"], "row")}, refreshed at {told["refreshed_at"]:%Y-%m-%d %H:%M:%S} UTC'


def preview(client: Client, mart: Joined | Mart, run: str) -> pl.DataFrame:
    """The rows of the days that a run has loaded, else of those loaded last, most pageviews or revenue first.

    Args:
        run: the run of the pipeline; empty in the editor.
    """
    sources = [each.source for each in MARTS if mart.name == each.name or each.name in getattr(mart, 'marts', ())]
    days = client.run(LOADED_LAST, {'sources': sources, 'run': run}, what='show')
    if not days:
        return pl.DataFrame()
    asked = Asked(Window(days[0]['start_day'], days[0]['end_day']), limit=ROWS)
    found = gold.look_up(client, mart, asked)
    assert found is not None  # as it is where no column is asked for
    return pl.DataFrame(found.rows, (*found.texts, *found.numbers), orient='row', infer_schema_length=None)
