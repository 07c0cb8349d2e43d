"""The ad rows of the sample as reports of Ad Manager: by its older API, by its pages, and by its REST API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from generate import COLUMNS, Fields, csv_field, moment, spell_money

REPORT = {
    'Dimension.DATE': 'served_at',
    'Dimension.AD_UNIT_NAME': 'ad_unit',
    'Dimension.LINE_ITEM_NAME': 'line_item',
    'Dimension.CREATIVE_NAME': 'creative',
    'Dimension.CUSTOM_CRITERIA': 'content_id',
    'Column.TOTAL_LINE_ITEM_LEVEL_IMPRESSIONS': 'impressions',
    'Column.TOTAL_LINE_ITEM_LEVEL_CLICKS': 'clicks',
    'Column.TOTAL_LINE_ITEM_LEVEL_ALL_REVENUE': 'revenue_usd',
}
# Days whose report was exported from the pages, or fetched by REST; those of the pages have a day behind the 12th, or nobody
# could tell month from day.
PAGE_DAYS = {date(2025, 10, 20), date(2025, 10, 24)}
REST_DAYS = {date(2025, 10, 10), date(2025, 10, 21)}
PAGE = ['Date', 'Ad unit', 'Line item', 'Creative', 'Key-values', 'Total impressions', 'Total clicks']
PAGE_MONEY = 'Total CPM and CPC revenue ($)'
REST = ['DATE', 'AD_UNIT_NAME', 'LINE_ITEM_NAME', 'CREATIVE_NAME', 'KEY_VALUES_NAME']
Numbers = tuple[int, int, int]


@dataclass
class Reports:
    """The reports of every day. Their rows are days, where those of generate.py are hours, so rows of one key add up."""

    rows: dict[date, list[Fields]] = field(default_factory=dict)
    planted: Counter[str] = field(default_factory=Counter)

    def add_all(self, lines: list[tuple[date, Fields]]) -> None:
        """All lines of generate.py: the first version of each hour counts, whichever file it stands in."""
        parsed = [(day, fields, ad_row(fields)) for day, fields in lines]
        firsts: dict[tuple[Any, ...], Numbers] = {}
        totals: dict[tuple[Any, ...], Counter[int]] = {}
        for _, _, row in parsed:
            if row and row[0] not in firsts:
                (at, *rest), numbers = row
                firsts[row[0]] = numbers
                totals.setdefault((at.date(), *rest), Counter()).update(dict(enumerate(numbers)))
        hours, days, versions = set(), set(), set()
        for file_day, fields, row in parsed:
            if row is None:
                self._broken(file_day, fields)
                continue
            (at, *rest), numbers = row
            key = (at.date(), *rest)
            first = firsts[row[0]]
            total = tuple(totals[key][n] - first[n] + numbers[n] for n in range(3))
            is_new_hour = row[0] not in hours
            hours.add(row[0])
            if is_new_hour and key in days:
                continue  # its day's row has it
            if key not in days:
                self.planted['distinct_rows'] += 1
            elif (key, total) in versions:
                self.planted['equal_rows'] += 1
            else:
                self.planted['conflicts'] += 1
            days.add(key)
            versions.add((key, total))
            self._put(file_day, *key, *total)

    def _broken(self, file_day: date, fields: Fields) -> None:
        named = dict(zip(COLUMNS['gam_delivery'], fields))
        if len(fields) < len(COLUMNS['gam_delivery']):
            self.planted['rejects.wrong_field_count'] += 1
            self.rows.setdefault(file_day, []).append([str(file_day), named['ad_unit'], named['line_item']])
            self.planted['rows'] += 1
        elif named['ad_unit'] is None or named['revenue_usd'] is None:
            self.planted['rejects.missing_required'] += 1
            micros = None if named['revenue_usd'] is None else money(named['revenue_usd'])
            keys = (named['ad_unit'], named['line_item'], named['creative'], named['content_id'])
            self._put(file_day, file_day, *keys, named['impressions'], named['clicks'], micros)
        else:
            self.planted['left_out'] += 1  # counts and micros are whole numbers there

    def _put(
        self, file_day: date, day: date, ad_unit: Any, line_item: Any, creative: Any, content: Any, *numbers: Any
    ) -> None:
        criteria = None if content is None else f'content_id={content}'
        shown = [None if number is None else str(number) for number in numbers]
        self.rows.setdefault(file_day, []).append([str(day), ad_unit, line_item, creative, criteria, *shown])
        self.planted['rows'] += 1


def ad_row(fields: Fields) -> tuple[tuple[Any, ...], Numbers] | None:
    """Key (its first part the hour) and numbers of a line; None if it cannot be used."""
    if len(fields) != len(COLUMNS['gam_delivery']):
        return None
    named = dict(zip(COLUMNS['gam_delivery'], fields))
    at = moment(named['served_at'])
    try:
        impressions, clicks = (whole(named[name]) for name in ('impressions', 'clicks'))
        micros = money(named['revenue_usd'])
    except ValueError:
        return None
    if at is None or not named['ad_unit']:
        return None
    key = (at, named['ad_unit'], named['line_item'], named['creative'], named['content_id'])
    return key, (impressions, clicks, micros)


def whole(text: str | None) -> int:
    """A count, also as `12.0`."""
    number, _, fraction = (text or '').partition('.')
    if not number.isdecimal() or fraction.strip('0'):
        raise ValueError(text)
    return int(number)


def money(text: str | None) -> int:
    """Millionths of an amount."""
    units, _, fraction = (text or '').removeprefix('-').partition('.')
    if not units.isdecimal() or not (fraction or '0').isdecimal() or len(fraction) > 6:
        raise ValueError(text)
    micros = int(units) * 10**6 + int(fraction.ljust(6, '0'))
    return -micros if str(text).startswith('-') else micros


# --- files ------------------------------------------------------------------------------------------------------------


def report_file(day: date, rows: list[Fields]) -> tuple[str, bytes]:
    """The file of a day's report, not compressed yet."""
    name = f'gam_delivery/gam_delivery_{day:%Y%m%d}'
    if day in PAGE_DAYS:
        return f'{name}.csv', page_report(day, rows)
    if day in REST_DAYS:
        return f'{name}.ndjson.gz', rest_rows(rows)
    return f'{name}.csv.gz', table(list(REPORT), rows, ',')


def table(header: Fields, rows: Iterable[Fields], sign: str) -> bytes:
    """A CSV file."""
    lines = [sign.join(csv_field(value, sign) for value in row) for row in [header, *rows]]
    return ('\n'.join(lines) + '\n').encode()


def page_report(day: date, rows: list[Fields]) -> bytes:
    """As the pages export it: title lines, everything as Americans spell it, and a line of sums."""
    title: list[Fields] = [['Report name', 'Articles'], ['Generated on', f'{day:%B} {day.day}, {day.year}'], []]
    shown: list[Fields] = []
    sums = [0, 0, 0]
    for served, *names, impressions, clicks, micros in rows:
        numbers = [int(str(number)) for number in (impressions, clicks, micros)]
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        at = date.fromisoformat(str(served))
        shown.append([f'{at.month}/{at.day}/{at:%y}', *(name or '-' for name in names), *american(numbers)])
    total: Fields = ['Total', *['-'] * 4, *american(sums)]
    header, *lines = [*title, [*PAGE, PAGE_MONEY], *shown, total]
    return table(header, lines, ',')


def american(numbers: list[int]) -> list[str]:
    """Impressions, clicks and micros with commas between thousands, money with its sign."""
    impressions, clicks, micros = numbers
    units, point, digits = spell_money(abs(micros)).partition('.')
    return [f'{impressions:,}', f'{clicks:,}', f'{"-" if micros < 0 else ""}${int(units):,}{point}{digits}']


def rest_rows(rows: list[Fields]) -> bytes:
    """As `fetchRows` gives them: the report's definition, then a row per line; whole numbers are texts, money is micros."""
    metrics = ['IMPRESSIONS', 'CLICKS', 'REVENUE']
    definition = {'dimensions': REST, 'metrics': metrics, 'reportType': 'HISTORICAL', 'currencyCode': 'USD'}
    lines: list[object] = [{'name': 'networks/21890000/reports/1', 'reportDefinition': definition}]
    for served, *names, impressions, clicks, micros in rows:
        dimensions = [{'intValue': str(served).replace('-', '')}, *({'stringValue': name} if name else {} for name in names)]
        values = [{'intValue': number} for number in (impressions, clicks, micros)]
        lines.append({'dimensionValues': dimensions, 'metricValueGroups': [{'primaryValues': values}]})
    return ''.join(json.dumps(line, separators=(',', ':')) + '\n' for line in lines).encode()
