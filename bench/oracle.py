"""What has to come out, worked out by DuckDB from the CSV files alone, and what did come out."""

import json
from pathlib import Path

import duckdb
from psycopg2.extensions import connection as Connection

Answer = set[tuple[str, str, int, int, int]]


class WrongResultError(AssertionError):
    """A contestant was fast and wrong."""


def expected(files: list[Path]) -> Answer:
    """Per local day and article: pageviews, sessions, user_engagements of the distinct rows of all files together.

    Kept beside the first file's landing zone, as the files do not change.
    """
    landing, names = files[0].parents[1], [file.parents[1].name for file in files]
    kept = landing.with_name(f'expected_{"_".join(names) if len(names) < 3 else f"{landing.name}_{len(names)}"}.json')
    if not kept.exists():
        with duckdb.connect() as connection:
            rows = connection.execute(
                """
                select
                    cast(timezone('Asia/Jakarta', event_timestamp::timestamptz)::date as varchar),
                    coalesce(content_id, '(not set)'),
                    count(*) filter (where event_name = 'page_view'),
                    count(distinct (user_pseudo_id, session_id))
                        filter (where user_pseudo_id is not null and session_id is not null),
                    count(*) filter (where event_name = 'user_engagement')
                from (select distinct * from read_csv(?, all_varchar = true, header = true))
                group by all
                """,
                [[str(file) for file in files]],
            ).fetchall()
        kept.write_text(json.dumps(rows))
    return {tuple(row) for row in json.loads(kept.read_text())}


def check(who: str, connection: Connection, statement: str, wanted: Answer) -> None:
    """Compare the rows of ``statement`` with the oracle's.

    Raises:
        WrongResultError: they differ.
    """
    with connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetchall()
    if len(found) != len(wanted) or set(found) != wanted:
        surplus, missing = sorted(set(found) - wanted)[:3], sorted(wanted - set(found))[:3]
        raise WrongResultError(f'{who}: {len(found)} rows for {len(wanted)}; has {surplus}, should have {missing}')
