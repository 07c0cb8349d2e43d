"""A database made by another version of the code, or of its declarations: brought up to this one, exactly, or refused."""

import os
import shutil
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from kly_mage import __version__
from kly_mage.__main__ import main
from kly_mage.checks.verify import block, rebuild, verify
from kly_mage.common.errors import WarehouseError
from kly_mage.common.settings import REPOSITORY, Settings
from kly_mage.declared import SOURCES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing.files import day_in_name
from kly_mage.warehouse.postgres import ddl, versions
from kly_mage.warehouse.postgres.connection import connect
from kly_mage.warehouse.postgres.programs import programs
from kly_mage.warehouse.postgres.tables import everything
from tests.delivery import ad, ads, article, backfill, deliver
from tests.gold import Query, gold

FIXTURES = Path(__file__).with_name('fixtures')
RELEASES = ('cd3c17b',)
DAYS = ('2025-10-01', '2025-10-04')  # as fixtures/make_fixture.py has them


@pytest.fixture(params=RELEASES)
def released(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Settings:
    """A database as that release left it, and the files it was loaded from."""
    version = '15' if os.environ.get('KLY_TEST_POSTGRES') == '15' else '18'
    dump = tmp_path / 'dump.sql.gz'
    shutil.copy(FIXTURES / f'{request.param}_{version}.sql.gz', dump)
    subprocess.run(['gunzip', dump], check=True)
    restore(settings, dump.with_suffix(''))
    shutil.rmtree(settings.data_dir)
    shutil.copytree(REPOSITORY / 'data', settings.data_dir)
    return settings


def restore(settings: Settings, dump: Path) -> None:
    """Run a plain dump with psql: it has commands that are not SQL."""
    program = programs(18, None).folder / 'psql'
    server = ['--host', str(settings.host), '--username', settings.user, '--dbname', settings.dbname]
    subprocess.run(
        [program, '--no-psqlrc', '--quiet', *server, '--set', 'ON_ERROR_STOP=1', '--file', dump],
        check=True,
        stdout=subprocess.DEVNULL,
    )


# --- a released schema ------------------------------------------------------------------------------------------------


def test_a_released_database_is_upgraded_by_the_next_command_and_gold_stays(released: Settings, query: Query) -> None:
    before = gold(query)
    assert len(before['daily_summary']) > 300
    assert main(['show']) == 0
    assert gold(query) == before
    assert query('select version, applied_by from ops.schema_version order by 1') == [
        (step.version, __version__) for step in versions.migrations()
    ]
    report = verify(released)
    assert report is not None
    assert report.differences == report.waiting == []


def test_who_may_read_the_materialized_view_may_read_the_view_after_it_and_his_views_stand(
    released: Settings, query: Query
) -> None:
    query("""
        create role kly_test_reader;
        grant usage on schema gold to kly_test_reader;
        grant select on gold.daily_summary to kly_test_reader;
        create view public.read as select date, pageviews from gold.daily_summary;
        select 1
    """)
    try:
        before = query('select * from public.read order by 1, 2')
        assert main(['show']) == 0
        assert query('select * from public.read order by 1, 2') == before
        assert query('set role kly_test_reader; select count(*), min(finality) from gold.daily_summary') == [
            (len(before), 'final')
        ]
    finally:
        query('reset role; drop owned by kly_test_reader; drop role kly_test_reader; select 1')


def test_loads_go_on_in_an_upgraded_database(released: Settings, query: Query) -> None:
    loads = query('select count(*), sum(rows_read) from ops.load_days')
    before = gold(query)
    assert backfill(*DAYS, '--quiet') == 3  # the sample has rejects and conflicts
    assert query('select sum(rows_new) from ops.loads where load_id > 3') == [(0,)]
    assert gold(query) == before
    assert query('select count(*), sum(rows_read) from ops.load_days where load_id <= 3') == loads
    ((revenue,),) = query('select sum(revenue_usd) from gold.gam_daily_summary')
    deliver(released, 'gam_delivery_20251004_late.csv', ad(revenue='0.125', day='2025-10-04'))
    assert ads('2025-10-04', None, '--quiet') == 3
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(revenue + Decimal('0.125'),)]
    assert main(['verify']) == 0


def test_stored_rows_get_the_place_that_loading_their_files_today_would_give_them(
    released: Settings, query: Query, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(['show']) == 0
    upgraded = places(released)
    assert [len(rows) for rows in upgraded.values()] > [1_000, 100, 3]
    assert all(file for rows in upgraded.values() for *_, file, _ in rows)
    monkeypatch.setenv('POSTGRES_DBNAME', f'{released.dbname}_new')
    new = administer(postgres, released, 'create database {}')
    try:
        assert backfill(*DAYS, '--quiet') == 3
        assert places(new) == upgraded
    finally:
        administer(postgres, released, 'drop database {} with (force)')


def places(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    with connect(settings) as connection, connection.cursor() as cursor:
        found = {}
        for table in ('gam_delivery_hashrow', 'cms_articles_hashrow', 'gam_delivery_conflicts'):
            cursor.execute(f'select _hashrow, _delivered_at, _file, _line from bronze.{table} order by 1, 2, 3, 4')
            found[table] = cursor.fetchall()
        return found


def test_rejects_of_before_know_the_day_of_their_file_by_the_one_rule_for_names(released: Settings, query: Query) -> None:
    query(
        'insert into bronze.rejects (source, reject_id, file, line, reason, row, load_id)'
        " values ('gam_delivery', gen_random_uuid(), 'gam_delivery/export_12345678.csv', 2, 'r', '{}', 1),"
        " ('gam_delivery', gen_random_uuid(), 'gam_delivery/export_20251003.csv', 2, 'r', '{}', 1) returning 1"
    )
    assert main(['show']) == 0
    rejects = query('select source, file, file_day from bronze.rejects')
    assert len(rejects) > 5
    assert {file: day for _, file, day in rejects} == {file: day_in_name(SOURCES[name], file) for name, file, _ in rejects}
    assert query("select rows_rejected from gold.reconciliation where source = 'gam_delivery' and day is null") == [(2,)]


def test_an_upgraded_database_has_the_tables_of_a_new_one(
    released: Settings, query: Query, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ddl.ensure_schema(released)
    upgraded = catalogue(released)
    monkeypatch.setenv('POSTGRES_DBNAME', f'{released.dbname}_new')
    new = administer(postgres, released, 'create database {}')
    try:
        ddl.ensure_schema(new)
        assert catalogue(new) == upgraded
    finally:
        administer(postgres, released, 'drop database {} with (force)')


def administer(postgres: str, settings: Settings, statement: str) -> Settings:
    new = replace(settings, dbname=f'{settings.dbname}_new')
    connection = psycopg2.connect(host=postgres, dbname='postgres', user='postgres')
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement.format(new.dbname))
    connection.close()
    return new


def catalogue(settings: Settings) -> list[tuple[Any, ...]]:
    """Every column, index and comment of the schemas, partitions and what only a refresh makes aside."""
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("""
            select relation, column_name, kind, is_required, comment from (
                select relnamespace::regnamespace || '.' || relname as relation, attname as column_name,
                    format_type(atttypid, atttypmod) as kind, attnotnull as is_required,
                    col_description(pg_class.oid, attnum) as comment
                from pg_class inner join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
                where not relispartition and relkind <> 'S' and relname not like 'daily_summary%'
                    and relnamespace in ('ops'::regnamespace, 'bronze'::regnamespace, 'gold'::regnamespace)
                union all
                select relnamespace::regnamespace || '.' || relname, null,
                    pg_get_viewdef(pg_class.oid), null, obj_description(pg_class.oid)
                from pg_class
                where relkind = 'v' and relname <> 'daily_summary'
                    and relnamespace in ('ops'::regnamespace, 'gold'::regnamespace)
            ) as found order by 1, 2
        """)
        return cursor.fetchall()


# The log of corrections as it was: one row per change of a row, with the new version and the one that counted until then.
RESTATEMENTS_OF_BEFORE = """
    create table bronze.gam_delivery_restatements (like bronze.gam_delivery_conflicts);
    alter table bronze.gam_delivery_restatements drop column _undeclared_values, drop column accepted_at,
        drop column accepted_by, drop column accepted_because;
    insert into bronze.gam_delivery_restatements
    select _hashrow, served_at, now.site, ad_unit, line_item, creative, content_id, now.impressions, now.clicks,
        now.revenue_usd, now._undeclared, was.site, was.impressions, was.clicks, was.revenue_usd, was._undeclared,
        now._partition_date, now._delivered_at, now._file, now._line, now._updated_at, _load_id
    from bronze.gam_delivery_corrections as now
    inner join bronze.gam_delivery_corrections as was
        using (_hashrow, _load_id, served_at, ad_unit, line_item, creative, content_id)
    where now.sign > 0 and was.sign < 0;
    drop table bronze.gam_delivery_corrections cascade;
    create view gold.gam_restatements as
    select _partition_date as served_date, _load_id as load_id, max(_updated_at) as restated_at, count(*) as count_rows,
        sum(impressions - counted_impressions) as impressions, sum(clicks - counted_clicks) as clicks,
        sum(revenue_usd - counted_revenue_usd) as revenue_usd
    from bronze.gam_delivery_restatements group by _partition_date, _load_id;
    create view public.of_somebody as select load_id, revenue_usd from gold.gam_restatements;
    alter table bronze.ga4_events_corrections add primary key (_hashrow, _load_id);
    delete from ops.schema_version where version >= 7;
    update ops.declarations set fingerprint = 'another' returning 1
"""


def test_what_restatements_had_changed_counts_on_in_the_one_log(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, 'gam_delivery', replace(GAM_DELIVERY, restatements='apply'))
    for day, (top, side) in enumerate((('1', '5'), ('2', '5'), ('1', '5'), ('1', '7')), start=1):
        deliver(settings, f'gam_delivery_2025100{day}.csv', ad('top', top), ad('side', side))
        assert ads() in (0, 3)
    asked = [
        'select * from gold.gam_restatements order by 1, 2',
        'select * from gold.restatements order by 1, 2, 3, 4, 5',
        'select * from gold.as_of((select max(restated_at) from gold.gam_restatements where load_id = 2))',
    ]
    before = gold(query), *map(query, asked)
    query(RESTATEMENTS_OF_BEFORE)
    assert main(['show']) == 0
    assert (gold(query), *map(query, asked)) == before
    assert query('select * from public.of_somebody order by 1') == [(2, 1), (3, -1), (4, 2)]
    assert query('select sign, revenue_usd from bronze.gam_delivery_corrections order by _load_id, 1') == [
        *[(-1, 1), (1, 2)],
        *[(-1, 2), (1, 1)],
        *[(-1, 5), (1, 7)],
    ]
    assert query("select to_regclass('bronze.gam_delivery_restatements')") == [(None,)]
    assert main(['verify']) == 0
    rebuild(settings)
    assert gold(query) == before[0]
    assert main(['unload', '--load', '3']) == 0  # the top ad is 2 again, and its place is not known any more
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(9,)]
    assert main(['verify']) == 0
    assert ads() in (0, 3)
    assert query('select sum(revenue_usd) from gold.gam_daily_summary') == [(8,)]
    assert main(['verify']) == 0


def test_the_registry_of_a_database_of_before_comes_to_know_its_articles(settings: Settings, query: Query) -> None:
    deliver(settings, 'cms_articles_20251001.csv', article('7'), article('8'))
    deliver(settings, 'cms_articles_20251002.csv', article('7', title='Edited'))
    backfill('2025-10-01', '2025-10-02', '--quiet')
    before = gold(query)
    assert [row[2] for row in before['articles']] == ['Edited', 'Title']
    query(
        'drop view gold.articles cascade; alter table bronze.cms_articles_hashrow drop column content_id;'
        "delete from ops.schema_version where version >= 8; update ops.declarations set fingerprint = 'another' returning 1"
    )
    assert main(['show']) == 0
    assert gold(query) == before
    assert main(['verify']) == 0
    query("update bronze.cms_articles_hashrow set content_id = '9' where content_id = '8'")
    assert main(['verify']) == 1


# --- versions ---------------------------------------------------------------------------------------------------------


def test_migrations_are_numbered_without_a_gap_and_say_what_they_are_for() -> None:
    found = versions.migrations()
    assert [step.version for step in found] == list(range(1, len(found) + 1))
    for step in found:
        assert step.statements.startswith('-- '), step.path
        assert step.path.stem == f'{step.version:04}_{step.name.replace(" ", "_")}'


def test_a_new_database_is_complete_at_the_newest_version(settings: Settings, query: Query) -> None:
    ddl.ensure_schema(settings)
    assert query('select max(version) from ops.schema_version') == [(len(versions.migrations()),)]
    assert ddl.migrate(settings, block) == []


def test_a_newer_database_is_refused_in_one_sentence(settings: Settings, query: Query, capsys: Any) -> None:
    ddl.ensure_schema(settings)
    query("insert into ops.schema_version values (9999, 'metrics of the year 2030', default, '7.0.0')")
    assert backfill() == 1
    message = capsys.readouterr().err
    assert 'schema version 9999 ("metrics of the year 2030", by kly_mage 7.0.0)' in message
    assert message.endswith('use kly_mage 7.0.0 or newer\n')
    assert message.count('\n') == 1
    assert main(['migrate']) == 1


def test_code_with_earlier_declarations_is_refused_until_somebody_says_migrate(
    settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    ddl.ensure_schema(settings)
    other = everything() + "\ncomment on schema gold is 'As another checkout has it.';"
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(ddl, 'everything', lambda: other)
        ddl.ensure_schema(settings)
    comment = "select obj_description('gold'::regnamespace)"
    for _ in range(2):
        with pytest.raises(WarehouseError, match=f'other declarations since .by kly_mage {__version__} .*kly_mage migrate'):
            ddl.ensure_schema(settings)
        assert query(comment) == [('As another checkout has it.',)]
    assert main(['migrate']) == 0
    assert query(comment) != [('As another checkout has it.',)]
    ddl.ensure_schema(settings)


def test_nothing_to_do_costs_one_query(settings: Settings, query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    ddl.ensure_schema(settings)
    # Whoever changes anything needs the lock of the schema: nobody gets it here.
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute(ddl._LOCK)
        ddl.ensure_schema(settings)


@pytest.fixture
def heavy(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database of today, and code with one more migration that only ``migrate`` runs."""
    ddl.ensure_schema(settings)
    folder = tmp_path / 'migrations'
    shutil.copytree(versions.FOLDER, folder)
    (folder / '9999_fewer_comments.sql').write_text("-- By migrate only: a test.\ncomment on schema bronze is 'migrated';\n")
    monkeypatch.setattr(versions, 'FOLDER', folder)
    return settings


def test_what_is_marked_so_is_done_by_migrate_only(heavy: Settings, query: Query, capsys: Any) -> None:
    assert main(['show']) == 1
    assert 'this database needs "fewer comments"' in capsys.readouterr().err
    assert main(['migrate']) == 0
    assert 'schema version 9999: fewer comments' in capsys.readouterr().out
    assert query('select name from ops.schema_version where version = 9999') == [('fewer comments',)]
    ddl.ensure_schema(heavy)
