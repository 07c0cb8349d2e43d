"""The part of a load's script that is about rules: how many of its new rows break them, and whether it has to stop.

What a rule asks of a row alone is staged with the row: frames are asked as on PostgreSQL, rows in place by GoogleSQL. Which
rows are new, and what their articles and the days around them say, is known in the transaction alone. A load that has to
stop writes nothing there, and its client says why.
"""

import json
from datetime import date

import polars as pl

from kly_mage.common.errors import UsageError
from kly_mage.common.window import Window, moved
from kly_mage.declared.base import AgainstArticle, Rule, Source
from kly_mage.warehouse import rules, volume
from kly_mage.warehouse.bigquery.standing import ACCEPTED, LOADED, NEWEST_UNTIL
from kly_mage.warehouse.bigquery.text import cells, identifier, literal
from kly_mage.warehouse.standing import FarOff, stale


def staged(source: Source) -> list[str]:
    """The columns of staged rows that say whether a row breaks a rule, a truth value each; see ``of_frame``."""
    return list(_names(source).values())


def of_frame(source: Source) -> list[pl.Expr]:
    """These columns of a frame of rows."""
    names = _names(source)
    return [broken.alias(names[rule]) for rule, broken in rules.conditions(source).items()]


def in_place(source: Source) -> list[str]:
    """These columns as GoogleSQL over the rows' own.

    Raises:
        UsageError: a condition is written in a way that BigQuery reads otherwise.
    """
    for rule in _names(source):
        if set(str(rule.broken)) & set('"`\\'):
            raise UsageError(
                f'{source.name}: the rule "{rule.name}" quotes a name or has a backslash, which BigQuery reads otherwise: '
                'write it without, or load files'
            )
    return [f'({rule.broken}) as {name}' for rule, name in _names(source).items()]


def parts(source: Source, window: Window, now: date, unread: str) -> dict[str, str]:
    """The places of the script that are about rules; empty texts where the source has none.

    Args:
        window: the days the load is asked for, which are the parameters ``start`` and ``end`` as well.
        now: the local day it is.
        unread: a query, behind UNION ALL, of days and usable rows of files that were not read; an empty text for none.
    """
    found = [_broken(source, rule) for rule in source.rules]
    stops = [
        f"what = 'rule' and which = {literal(rule.name)} and amount > 0" for rule in source.rules if rule.level == 'stop'
    ]
    for asked in (_volume(source, window, unread), _freshness(source, window, now, unread)):
        if asked:
            found.append(asked)
            stops.append("what <> 'rule'")
    if not found:
        return {'judged': '', 'broken': ''}
    judged = 'create temp table broken as\n' + '\nunion all\n'.join(found) + ';\n'
    if stops:
        told = f'select {cells("what", "which", "amount", "usual")} from broken where {" or ".join(dict.fromkeys(stops))}'
        judged += f"\nset v_stopped = (select string_agg(cells, ',') from ({told}));\n"
    return {'judged': f'\n{judged}', 'broken': _KEPT.format(source=literal(source.name))}


def hold(source: Source, now: date, stopped: str | None) -> None:
    """Say why a script has stopped, if it has.

    Args:
        stopped: what it has left in ``v_stopped``.

    Raises:
        RuleError: it has.
    """
    if stopped is None:
        return
    told: list[list[str]] = json.loads(f'[{stopped}]')
    broken = {which: int(amount) for what, which, amount, _ in told if what == 'rule'}
    rules.hold(source, {rule: broken.get(rule.name, 0) for rule in source.rules})
    days = sorted(each[1:] for each in told if each[0] == 'volume')
    far_off = [FarOff(date.fromisoformat(day), int(rows), round(float(usual))) for day, rows, usual in days]
    rules.hold_volume(source, far_off)
    for what, newest, *_ in told:
        if what == 'freshness':
            rules.hold_freshness(source, stale(source, date.fromisoformat(newest), now))


def _names(source: Source) -> dict[Rule, str]:
    return {rule: f'_broken_{number}' for number, rule in enumerate(source.rules) if isinstance(rule.broken, str)}


def _broken(source: Source, rule: Rule) -> str:
    """How many new rows break a rule."""
    told = f"select 'rule' as what, {literal(rule.name)} as which,"
    if not isinstance(rule.broken, AgainstArticle):
        return f"{told} countif({_names(source)[rule]}) as amount, 0.0 as usual\nfrom placed where _place = 'new'"
    own, of_article = identifier(rule.broken.column), identifier(rule.broken.of_article)
    return (
        f'{told} count(*) as amount, 0.0 as usual\n'
        f'from placed as own inner join {_articles(source)} as article on own.content_id = article.content_id\n'
        f"where own._place = 'new' and own.{own} {rule.broken.operator} article.{of_article}"
    )


def _articles(source: Source) -> str:
    """What new rows are compared with. A load of articles compares them with those there will be: its own count too."""
    if not source.versioned:
        return 'gold.articles'
    return _NEWEST.format(name=source.name, own=', '.join(map(identifier, source.names)))


def _volume(source: Source, window: Window, unread: str) -> str | None:
    """The days far off in volume, if such a day stops the load, as ``warehouse/volume.py`` judges them."""
    days = volume.looked_at(source, window)
    if days is None or source.volume is None or source.volume.level != 'stop':
        return None
    known = {'@sources': f'[{literal(source.name)}]', '@start': f"date '{days.start}'", '@end': f"date '{days.end}'"}
    return _VOLUME.format(
        loaded=_filled(LOADED, known),
        accepted=_filled(ACCEPTED, {'@source': literal(source.name), '@finding': "'volume'"}),
        unread=unread,
        days=source.volume.days,
        neighbours=volume.NEIGHBOURS,
        rows=volume.ROWS,
        least=source.volume.least,
        most=source.volume.most,
    )


def _freshness(source: Source, window: Window, now: date, unread: str) -> str | None:
    """The newest day, if it is too old and that stops the load, as ``warehouse/standing.py`` judges it."""
    if source.freshness is None or source.freshness.level != 'stop' or window.end < moved(now, -source.freshness.days):
        return None
    known = {'@sources': f'[{literal(source.name)}]', '@end': f"date '{now}'"}
    return _FRESHNESS.format(
        newest=_filled(NEWEST_UNTIL, known),
        accepted=_filled(ACCEPTED, {'@source': literal(source.name), '@finding': "'freshness'"}),
        now=now,
        unread=unread,
        days=source.freshness.days,
    )


def _filled(statement: str, values: dict[str, str]) -> str:
    """A statement with values in the place of its parameters: those of the load have the same names."""
    for name, value in values.items():
        statement = statement.replace(name, value)
    return statement


# As the view ``gold.articles`` has it, behind the load.
_NEWEST = """\
(
    select {own}
    from (
        select {own}, _hashrow, delivery._delivered_at, delivery._file, delivery._line, stored._updated_at
        from bronze.{name} as stored inner join bronze.{name}_hashrow as delivery using (_hashrow)
        union all
        select {own}, _hashrow, _delivered_at, _file, _line, v_stamp from placed where _reject is null
    ) as version
    where true
    qualify row_number() over (
        partition by content_id order by _delivered_at desc, _file desc, _line desc, _updated_at desc, _hashrow asc
    ) = 1
)"""
# Distinct usable rows by day, as the ledger will count them.
_OF_LOAD = (
    'select day, sum(amount) as amount from ('
    "select _partition_date as day, countif(_place in ('new', 'already_loaded', 'conflicting', 'restated')) as amount"
    " from placed where _partition_date is not null and _place not in ('file', 'outside') group by _partition_date"
    '{unread}) group by day'
)
_VOLUME = f"""\
select 'volume' as what, cast(far.day as string) as which, far.amount, far.usual
from (
    with of_load as (
        {_OF_LOAD}
    ),

    of_days as (
        select day, amount from of_load
        union all
        select earlier.day, earlier.amount from ({{loaded}}) as earlier
        where earlier.day not in (select of_load.day from of_load)
    ),

    ranked as (
        select
            own.day, own.amount, around.amount as other,
            row_number() over (partition by own.day order by around.amount) as nth,
            count(*) over (partition by own.day) as others
        from of_days as own inner join of_days as around
            on own.day <> around.day
                and around.day between date_sub(own.day, interval {{days}} day) and date_add(own.day, interval {{days}} day)
        where own.day between @start and @end
    )

    select day, amount, avg(other) as usual
    from ranked
    where others >= {{neighbours}} and 2 * nth between others and others + 2
    group by day, amount
) as far
left join ({{accepted}}) as right_day on far.day = right_day.day
where
    far.usual >= {{rows}} and (far.amount < {{least}} * far.usual or far.amount > {{most}} * far.usual)
    and not (
        right_day.day is not null and (
            right_day.found is null or right_day.usual is null
            or far.amount between least(right_day.found, right_day.usual) and greatest(right_day.found, right_day.usual)
        )
    )"""
_FRESHNESS = f"""\
select 'freshness' as what, cast(max(day) as string) as which, 0 as amount, 0.0 as usual
from (
    select day from ({_OF_LOAD}) where amount > 0 and day <= date '{{now}}'
    union all
    select newest.day from ({{newest}}) as newest
)
having
    date_diff(date '{{now}}', max(day), day) > {{days}}
    and max(day) not in (select accepted.day from ({{accepted}}) as accepted)"""
_KEPT = """
insert into ops.load_rules (source, load_id, rule, rows_broken)
select {source}, v_load_id, which, amount from broken where what = 'rule' and amount > 0;
"""
