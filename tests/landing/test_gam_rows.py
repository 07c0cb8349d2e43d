"""Rows of Ad Manager's REST API: in answers or one per line, exact to the double, and whole or refused."""

import json
from typing import Any

import pytest

from kly_mage.common.errors import LandingError
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import files as landing_files
from kly_mage.landing import readers
from tests.landing.zone import JAKARTA, Write, read

NAME = 'gam_delivery/rows.json'
DIMENSIONS = ['DATE', 'AD_UNIT_NAME', 'LINE_ITEM_NAME', 'CREATIVE_NAME', 'KEY_VALUES_NAME', 'COUNTRY_NAME']
METRICS = ['IMPRESSIONS', 'CLICKS', 'REVENUE']
DEFINITION = {
    'name': 'networks/123/reports/456',
    'displayName': 'Daily',
    'reportDefinition': {'dimensions': DIMENSIONS, 'metrics': METRICS, 'reportType': 'HISTORICAL', 'currencyCode': 'USD'},
}
RANGE = {'startDate': {'year': 2025, 'month': 10, 'day': 1}, 'endDate': {'year': 2025, 'month': 10, 'day': 1}}


def row(line_item: str, key: str, numbers: tuple[int, int], money: dict[str, Any], day: str = '20251001') -> dict[str, Any]:
    """A row as the API gives it: 64-bit numbers are texts, doubles are numbers."""
    texts = ['top', line_item, 'c1', key, 'Indonesia']
    return {
        'dimensionValues': [{'intValue': day}, *({'stringValue': text} for text in texts)],
        'metricValueGroups': [{'primaryValues': [*({'intValue': str(number)} for number in numbers), money]}],
    }


ROWS = [
    row('Sponsor', 'content_id=12', (1000, 3), {'doubleValue': 1234.56}),
    row('Sponsor', 'content_id=13', (500, 0), {'doubleValue': 1e-06}),
    row('House', '', (7, 0), {'doubleValue': -0.5}),
]
EXPECTED = [('Sponsor', '12', 1000, 3, '1234.56'), ('Sponsor', '13', 500, 0, '0.000001'), ('House', '', 7, 0, '-0.5')]


def answer(rows: list[dict[str, Any]], total: int | None = None, **more: Any) -> dict[str, Any]:
    said = {'totalRowCount': len(rows) if total is None else total}
    return {'rows': rows, 'runTime': '2025-10-02T01:00:00Z', 'dateRanges': [RANGE]} | said | more


def lines(*documents: Any) -> str:
    return ''.join(json.dumps(document) + '\n' for document in documents)


def loaded(write: Write, text: str, name: str = NAME) -> list[tuple[Any, ...]]:
    frame = read(write(text, name))
    assert frame['_reject'].null_count() == frame.height, frame['_reject'].to_list()
    assert {str(at) for at in frame['served_at']} == {'2025-09-30 17:00:00+00:00'}
    assert frame['COUNTRY_NAME'].unique().to_list() == ['Indonesia']
    rows = frame.select('line_item', 'content_id', 'impressions', 'clicks', 'revenue_usd').rows()
    return [(*row[:1], row[1] or '', *row[2:4], f'{row[4].normalize():f}') for row in rows]


@pytest.mark.parametrize(
    'text',
    [
        lines(DEFINITION, *ROWS),
        lines(DEFINITION, answer(ROWS)),
        lines(DEFINITION, answer(ROWS[:2], 3, nextPageToken='x'), answer(ROWS[2:], 3)),
        lines(DEFINITION | answer(ROWS)),
        json.dumps(DEFINITION | answer(ROWS), indent=2),
        json.dumps(DEFINITION | answer(ROWS)),
    ],
    ids=['rows', 'an answer', 'two pages', 'one document', 'printed', 'without an end'],
)
def test_rows_load_from_answers_and_from_lines(write: Write, text: str) -> None:
    assert loaded(write, text) == EXPECTED


def test_a_row_has_the_line_it_stands_in_or_its_number_in_the_answers(write: Write) -> None:
    assert read(write(lines(DEFINITION, *ROWS), NAME))['_line'].to_list() == [2, 3, 4]
    pages = lines(DEFINITION, answer(ROWS[:2], 3, nextPageToken='x'), answer(ROWS[2:], 3))
    assert read(write(pages, NAME))['_line'].to_list() == [1, 2, 3]


def test_the_order_of_values_can_be_said_in_landing_toml(write: Write) -> None:
    with pytest.raises(
        LandingError, match=r"name no columns: say dimensions = \['DATE', …\] and metrics = \[…\] in landing"
    ):
        read(write(lines(*ROWS), NAME))
    write(f"[[mapping]]\nsource = 'gam_delivery'\ndimensions = {DIMENSIONS}\nmetrics = {METRICS}\n", 'landing.toml')
    assert loaded(write, lines(*ROWS)) == EXPECTED


@pytest.mark.parametrize(
    ('money', 'amount'),
    [
        ({'doubleValue': 0.1 + 0.2}, '0.3'),  # its shortest spelling is 0.30000000000000004; money has 12 digits
        ({'doubleValue': 1234.5600000000002}, '1234.56'),
        ({'doubleValue': 1e-07}, '0.0000001'),
        ({'doubleValue': 123456789.125}, '123456789.125'),
        ({'doubleValue': 5}, '5'),
        ({'intValue': '1500000'}, '1.5'),
        ({'intValue': '-7'}, '-0.000007'),
        ({'intValue': '0'}, '0'),
    ],
)
def test_doubles_are_units_by_their_shortest_decimal_and_whole_numbers_are_micros(
    write: Write, money: dict[str, Any], amount: str
) -> None:
    write("[[mapping]]\nsource = 'gam_delivery'\necpm_limit = 1000000000\n", 'landing.toml')
    assert loaded(write, lines(DEFINITION, row('a', '', (1, 0), money)))[0][4] == amount


def test_a_double_that_is_no_amount_rejects_its_row(write: Write) -> None:
    bad = [row('a', '', (1, 0), {'doubleValue': 'NaN'}), row('a', '', (1, 0), {})]
    frame = read(write(lines(DEFINITION, *bad), NAME))
    assert [json.loads(text)['column'] for text in frame['_reject']] == ['revenue_usd', 'revenue_usd']


def test_micros_given_as_doubles_are_refused(write: Write) -> None:
    micros = [row('a', '', (1000, 0), {'doubleValue': 1234560000.0})]
    with pytest.raises(LandingError, match=r'revenue_usd is 1,234,560,000\.00 for 1,000 impressions'):
        read(write(lines(DEFINITION, *micros), NAME))


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        (lines(DEFINITION, answer(ROWS, 4)), 'its answers say 4 rows, and it holds 3: deliver all pages'),
        (lines(DEFINITION, answer(ROWS[:2], 3, nextPageToken='x')), 'its answers say 3 rows, and it holds 2'),
        (lines(DEFINITION, answer(ROWS) | {'totalRowCount': None, 'nextPageToken': 'x'}), 'its last answer names a further'),
        (lines(DEFINITION, answer(ROWS), answer(ROWS, 3)), 'its answers say 3 rows, and it holds 6'),
        (lines(DEFINITION, *ROWS, answer(ROWS)), 'line 2 is a row beside answers that hold rows'),
        (json.dumps(DEFINITION | answer(ROWS), indent=2)[:-40], "is no JSON as Ad Manager's API gives it, or cut short"),
        (lines(DEFINITION, row('a', '', (1, 0), {}) | {'dimensionValues': [{}]}), 'row 2 has 1 dimensions, and 6 by the'),
        (
            lines(DEFINITION, row('a', '', (1, 0), {}) | {'metricValueGroups': [{}, {}]}),
            'row 2 has 2 ranges of dates, and 1',
        ),
        (lines(DEFINITION, {'dimensionValues': [{}] * 6}), 'row 2 has 0 ranges of dates'),
        (lines(DEFINITION, *ROWS).replace('content_id=13', 'section=sport'), 'every impression stands there once per key'),
    ],
)
def test_what_is_not_all_of_a_report_is_refused_in_words(write: Write, text: str, told: str) -> None:
    with pytest.raises(LandingError, match=f'^{NAME}: .*{told}'):
        read(write(text, NAME))


def test_a_line_that_is_no_row_is_one_reject_and_the_others_load(write: Write) -> None:
    frame = read(write(lines(DEFINITION, *ROWS) + '{"dimensionValues": [{"intVal\n', NAME))
    assert frame['_reject'].null_count() == 3
    assert frame.filter(frame['_reject'].is_not_null())['_line'].to_list() == [5]


def test_a_report_in_another_currency_needs_its_rates(write: Write) -> None:
    definition = {'reportDefinition': DEFINITION['reportDefinition'] | {'currencyCode': 'IDR'}}  # type: ignore[operator]
    text = lines(definition, row('a', '', (1000, 0), {'doubleValue': 16000.0}))
    with pytest.raises(
        LandingError, match=r'its amounts are to be changed into dollars \(IDR\), by rates in a file beside .*: fx_rates.csv'
    ):
        read(write(text, NAME))
    write('date,currency,usd\n2025-10-01,IDR,0.0000625\n', 'fx_rates.csv')
    assert loaded(write, text)[0][4] == '1'


def test_an_answer_without_rows_is_an_empty_file(write: Write) -> None:
    landing = write(lines(DEFINITION, {'runTime': '2025-10-02T01:00:00Z', 'dateRanges': [RANGE]}), NAME)
    (file,) = landing_files.find_files(GAM_DELIVERY, landing, JAKARTA)
    assert readers.is_empty(file)
    assert read(landing).height == 0


def test_a_document_of_no_end_is_refused_by_its_size(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('kly_mage.landing.gam_rows._LONGEST', 1_000)
    with pytest.raises(LandingError, match=r'is longer than|is one JSON document of more than'):
        read(write(json.dumps(DEFINITION | answer(ROWS * 10), indent=2), NAME))
