"""``show``: gold as people ask for it: the most read, one article, by site; for the eye, or as CSV and JSON."""

import argparse
import csv
import io
from collections.abc import Iterable
from decimal import Decimal

from kly_mage.cli import DONE
from kly_mage.cli.arguments import add_days, add_shape, day, number_of, window
from kly_mage.common.console import document, say
from kly_mage.common.errors import UsageError
from kly_mage.common.records import cell, say_json
from kly_mage.common.settings import load_settings
from kly_mage.common.tables import Column, cents, say_table
from kly_mage.common.text import counted
from kly_mage.declared.marts import DAILY_SUMMARY, MARTS, Joined, Mart, marts_alone
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.gold import ARTICLE, DAY, Asked, Found, columns

TEXT_CHARACTERS = 26  # of a title
SHOWN_ROWS = 8
_MONEY = {number.name for mart in MARTS for number in mart.measures if number.unit == 'USD'} | {
    ratio.name for ratio in DAILY_SUMMARY.ratios if ratio.unit == 'USD'
}
_TABLES: dict[str, Joined | Mart] = {DAILY_SUMMARY.name: DAILY_SUMMARY, **{mart.name: mart for mart in MARTS}}
_GROUPS = (*DAILY_SUMMARY.grouped, ARTICLE, DAY)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which rows, added up by what, in which order and shape."""
    parser.add_argument('--day', type=day, metavar='D', help='one day')
    add_days(parser)
    parser.add_argument('--from', dest='start', type=day, metavar='D', help='the same as --start')
    parser.add_argument('--to', dest='end', type=day, metavar='D', help='the same as --end')
    parser.add_argument('--article', metavar='ID', help='one article, by its content_id')
    parser.add_argument('--by', choices=_GROUPS, help='add up by site, section, author, article or day')
    parser.add_argument('--sort', metavar='COLUMN', help='numbers from the highest, day and texts from the first')
    parser.add_argument(
        '--limit',
        type=number_of('rows'),
        metavar='N',
        help=f'so many rows; without it {SHOWN_ROWS} in a table, or all days',
    )
    parser.add_argument('--table', choices=list(_TABLES), metavar='NAME', help=f'only this one of {", ".join(_TABLES)}')
    add_shape(parser, csv=True)


def run(options: argparse.Namespace) -> int:
    """Print them. Sessions add up per article: a session that reads two articles counts on both."""
    if options.day:
        if options.start or options.end or options.last:
            raise UsageError('--day is one day: take it, or --from and --to, or --last')
        options.start = options.day
    per_day = options.by == DAY or (options.article is not None and options.by is None)
    whole = options.csv or options.json or per_day
    limit = options.limit or (None if whole else SHOWN_ROWS)
    asked = Asked(window(options), options.article, options.by, options.sort, limit)
    tables: Iterable[Joined | Mart] = [_TABLES[options.table]] if options.table else _all_of(options)
    gold = warehouse(load_settings())
    found = [(table, each) for table in tables if (each := gold.look_up(table, asked))]
    if not found:
        raise UsageError(f'gold.{options.table} has no column for --by or --article')
    if options.json:
        say_json({'tables': [_record(each) for _, each in found]})
    elif options.csv:
        document(_csv(found[0][1]))
    else:
        for table, each in found:
            _say(table, each, asked)
    return DONE


def _all_of(options: argparse.Namespace) -> Iterable[Joined | Mart]:
    """Every table that has the columns asked for; a CSV file holds one."""
    if options.csv:
        return (DAILY_SUMMARY,)
    alone = [mart for mart in marts_alone() if options.sort in (None, DAY) or options.sort in _names(mart, options.by)]
    return [DAILY_SUMMARY, *alone]


def _names(table: Joined | Mart, by: str | None) -> tuple[str, ...]:
    texts, numbers = columns(table, by) or ((), ())
    return (*texts, *numbers)


def _say(table: Joined | Mart, found: Found, asked: Asked) -> None:
    texts, numbers = found.texts, found.numbers
    if isinstance(table, Joined):  # a terminal has no room for all
        chosen = {*table.shown, asked.sort}
        numbers = tuple(name for name in numbers if name in chosen)
        if asked.by is None or asked.by == ARTICLE:
            texts = tuple(name for name in texts if name in {*table.key, *chosen})
    shown = [*(found.texts.index(name) for name in texts)]
    shown += [len(found.texts) + found.numbers.index(name) for name in numbers]
    heads = [Column(name, whole=name in table.key[:1], cut=TEXT_CHARACTERS) for name in texts]
    kept = {numbers[0], asked.sort, *_MONEY}
    heads += [Column(name, right=True, may_go=name not in kept) for name in numbers]
    rows = [[_cell((*texts, *numbers)[n], row[at]) for n, at in enumerate(shown)] for row in found.rows]
    count = counted(found.count, 'row')
    words = ['in all', *[''] * (len(texts) - 2), count] if len(texts) > 1 else [f'in all {count}']
    totals = [_cell(name, found.totals[found.numbers.index(name)]) for name in numbers]
    say_table(heads, rows, title=f'{found.table}, {_described(found, asked)}', totals=[*words, *totals])
    say()


def _described(found: Found, asked: Asked) -> str:
    told = [f'article {asked.article}'] if asked.article is not None else []
    told += [f'by {asked.by}'] if asked.by else []
    if asked.sort in found.numbers:
        told.append(f'most {asked.sort}')
    elif not told and asked.sort is None:
        told.append('most read' if found.numbers[0] == 'pageviews' else f'most {found.numbers[0]}')
    return ', '.join([*told, *([f'sorted by {asked.sort}'] if asked.sort and asked.sort not in found.numbers else [])])


def _cell(name: str, value: object) -> str:
    if value is None:
        return ''
    if isinstance(value, Decimal) and name in _MONEY:
        return cents(value)
    return f'{value:,}' if isinstance(value, int | Decimal) else str(value)


def _csv(found: Found) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow((*found.texts, *found.numbers))
    writer.writerows([cell(value) for value in row] for row in found.rows)
    return text.getvalue()


def _record(found: Found) -> dict[str, object]:
    names = (*found.texts, *found.numbers)
    return {
        'table': found.table,
        'rows': [dict(zip(names, row, strict=True)) for row in found.rows],
        'count': found.count,
        'totals': dict(zip(found.numbers, found.totals, strict=True)),
    }
