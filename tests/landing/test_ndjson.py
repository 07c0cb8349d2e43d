"""JSON lines: an object is a row, its numbers exactly as they are spelled; a line that is none is one reject."""

import io
import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kly_mage.common.errors import LandingError
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import files as landing
from kly_mage.landing import json_object, ndjson, readers
from kly_mage.landing.slices import MOST_CELLS
from tests.landing.zone import JAKARTA, Write, read
from tests.packing import ENDS, packed

NAME = 'gam_delivery/gam_delivery_20251001.ndjson'
AD = '{"served_at": "2025-10-01T12:00:00+07:00", "ad_unit": "a", "impressions": 1000, "clicks": 0, "revenue_usd": %s}'


def ad(revenue: str = '0.5', more: str = '') -> str:
    """An ad row; ``more`` are further fields."""
    return (AD % revenue)[:-1] + (f', {more}' if more else '') + '}'


MANY = ad(more=','.join(f'"f{number}": 1' for number in range(1400))) + '\n'


def written(write: Write, *lines: str | bytes, name: str = NAME) -> Any:
    """The rows of a file of these lines, by line."""
    folder = write(b''.join((line if isinstance(line, bytes) else line.encode()) + b'\n' for line in lines), name)
    return read(folder).sort('_line')


@pytest.mark.parametrize(
    ('spelled', 'amount'),
    [
        ('0.1', '0.1'),
        ('1e-7', '0.0000001'),
        ('2.5E2', '250'),
        ('-3', '-3'),
        ('0.123456789012', '0.123456789012'),
        ('1234.567890123456', '1234.567890123456'),  # 16 digits
        ('"12.5"', '12.5'),
        ('null', None),
    ],
)
def test_money_is_what_the_number_spells(write: Write, spelled: str, amount: str | None) -> None:
    frame = written(write, ad(spelled))
    assert frame['revenue_usd'].to_list() == [None if amount is None else Decimal(amount)]
    assert (frame['_reject'][0] is None) == (amount is not None)  # it is a required column


def test_an_amount_of_more_digits_than_are_kept_is_a_reject_and_not_rounded(write: Write) -> None:
    frame = written(write, ad('0.1234567890123'))
    assert json.loads(frame['_reject'][0])['value'] == '0.1234567890123'


def test_ids_beyond_two_to_the_53_and_texts_like_numbers_stay_themselves(write: Write) -> None:
    frame = written(
        write, ad(more='"content_id": 9007199254740993'), ad(more='"content_id": "007"'), ad(more='"content_id": 1.0')
    )
    assert frame['content_id'].to_list() == ['9007199254740993', '007', '1.0']


def test_fields_in_any_order_missing_or_null_are_columns_and_undeclared_ones_are_kept_as_text_or_json(write: Write) -> None:
    frame = written(
        write,
        ad(more='"ok": true, "tags": [1.50, {"b": null, "a": "\\u00e9"}], "Order ID": 12345678901234567890'),
        ad(more='"site": null, "ok": false'),
        ad(more='"tags": {}, "late": "x"'),
    )
    assert frame['_reject'].null_count() == 3
    assert frame['ok'].to_list() == ['true', 'false', None]
    assert frame['tags'].to_list() == ['[1.50,{"b":null,"a":"é"}]', None, '{}']
    assert frame['Order ID'].to_list() == ['12345678901234567890', None, None]
    assert frame['late'].to_list() == [None, None, 'x']
    assert frame['site'].null_count() == 3


def test_a_field_of_the_last_of_many_lines_is_a_column(write: Write) -> None:
    lines = [ad(more=f'"title": "{{, \\"x\\": {number}"') for number in range(30_000)]
    folder = write('\n'.join([*lines, ad(more='"l\\u0061st": 1')]) + '\n', NAME)
    (file,) = landing.find_files(GAM_DELIVERY, folder, JAKARTA)
    assert len(folder.joinpath(NAME).read_bytes()) > ndjson.SLICE_BYTES
    assert readers.undeclared_columns(GAM_DELIVERY, [file]) == ['title', 'last']
    assert read(folder).sort('_line')['last'].drop_nulls().to_list() == ['1']


@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        ('7', 'no JSON object'),
        ('null', 'no JSON object'),
        ('[]', 'no JSON object'),
        (ad() + ad(), 'no JSON object'),
        (ad() + ', ' + ad(), 'no JSON object'),
        (ad()[:-1], "no JSON object: Expecting ',' delimiter at character"),
        ('served_at,ad_unit', 'no JSON object: Expecting value at character 1'),
        (ad(more='"clicks": 1'), 'names a field twice'),
        (ad('NaN'), 'NaN is no number'),
        (ad('01'), "no JSON object: Expecting ',' delimiter at character"),
        (ad('[1]'), 'revenue_usd holds a list or a group of fields; a single value is wanted'),
        (ad(more='"Site": {"a": 1}'), 'Site holds a list or a group of fields; a single value is wanted'),
        (ad(more='"x": "\\u0000"'), 'x holds a NUL byte'),
        (ad(more='"x": "\0"'), 'no JSON object: Invalid control character at at character'),
        (ad(more='"x": "\\ud83d"'), 'holds half a character (a lone surrogate)'),
        (ad(more='"x": "\\ud83d\\ude00"'), None),
        (ad(more='"x": ' + '[' * 300 + ']' * 300), None),
        (ad(more='"x": ' + '[' * 600 + ']' * 600), 'x is nested too deep'),
        (ad(more='"x": ' + '{"a":' * 100_000), 'is nested too deep'),
        (ad().encode()[:-1] + b', "x": "\xff"}', 'is not UTF-8'),
        ('', ''),
        (' \t\r', ''),
        (ad() + ' \r', None),
    ],
)
def test_a_line_that_is_no_row_is_one_reject_with_its_line_and_the_others_are_rows(
    write: Write, line: str | bytes, reason: str | None
) -> None:
    frame = written(write, ad(), line, ad())
    told = {at: reject and json.loads(reject) for at, reject in frame.select('_line', '_reject').rows()}
    assert told.pop(1) is told.pop(3) is None
    if reason:
        assert ' '.join(filter(None, (told[2]['column'], told[2]['reason']))).startswith(reason)
    else:
        assert told == ({2: None} if reason is None else {})


def test_a_last_line_without_an_end_is_a_row_if_it_is_whole_and_else_a_reject_that_says_so(write: Write) -> None:
    assert read(write(ad() + '\n' + ad(), NAME))['_reject'].to_list() == [None, None]
    (_, told) = read(write(ad() + '\n' + ad()[:-3], NAME)).sort('_line')['_reject']
    assert json.loads(told)['reason'].endswith('; in the last line of its file, which has no end: it is cut short')


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        ('[\n' + ad() + '\n]\n', 'is one JSON array; deliver one object per line'),
        ('{\n"served_at": 1\n}\n', 'no line is a JSON object with a field'),
        (
            'served_at,ad_unit\n2025-10-01,a\n',
            'no line is a JSON object with a field; a CSV is read if its name ends in .csv',
        ),
        ('{}\n', 'no line is a JSON object with a field'),
        ('{"a": 1}\n', 'required column missing: served_at, ad_unit, impressions, clicks, revenue_usd'),
        (ad() + '\n{"x": "' + 'x' * (9 << 20), 'line 2 is longer than 8 MB; deliver one object, row or event'),
        (ad() + '\n' + '\n \n' * 3_000_000 + ad() + '\n', 'from line 1 on there is next to nothing but empty lines'),
        (ad(more=','.join(f'"f{number}": 1' for number in range(100_000))) + '\n', 'has 100,005 columns: at most 1,500'),
        ('\n'.join(ad(more=f'"f{number}": 1') for number in range(3000)) + '\n', 'columns: at most 1,500 are possible'),
        (ad(more=f'"{"x" * 100_000}": 1') + '\n', 'unusable column name'),
        (MANY + '{"a":1}\n' * 300_000, 'lines have few of the 1,406 fields of their file'),
    ],
    ids=['array', 'pretty', 'CSV', 'nothing', 'others', 'long', 'blank', 'wide', 'wider', 'name', 'sparse'],
)
def test_a_file_that_is_no_table_is_refused_in_words(write: Write, content: str, told: str) -> None:
    folder = write(content, NAME)
    with pytest.raises(LandingError, match=f'^{NAME}: .*{told}') as error:
        read(folder)
    assert len(str(error.value)) < 500


def test_rows_of_many_fields_are_read_in_slices_of_few_and_keep_their_lines(write: Write) -> None:
    lines = [MANY.strip().replace('"f7": 1', f'"f7": {number}') for number in range(3000)]
    lines[2000] = lines[2000].replace('"clicks": 0', '"clicks": []')
    frame = written(write, *lines)
    assert MOST_CELLS < 3000 * 1405
    assert frame.filter(pl.col('_reject').is_not_null())['_line'].to_list() == [2001]
    assert frame.filter(pl.col('_reject').is_null()).select('_line', 'f7').rows() == [
        (number + 1, str(number)) for number in range(3000) if number != 2000
    ]


@pytest.mark.parametrize('end', ENDS)
@pytest.mark.parametrize('kind', ['.json', '.jsonl', '.ndjson'])
@pytest.mark.parametrize('mark', [b'', b'\xef\xbb\xbf'])
def test_it_is_read_under_each_of_its_names_packed_or_not_with_a_byte_order_mark_or_not(
    write: Write, kind: str, end: str, mark: bytes
) -> None:
    name = f'gam_delivery/gam_delivery_20251001{kind}{end}'
    assert read(write(packed(mark + ad().encode(), end), name)).select('ad_unit', '_reject').rows() == [('a', None)]
    write(packed(mark + b' \n', end), name)
    (file,) = landing.find_files(GAM_DELIVERY, write(packed(b'', end), name), JAKARTA)
    assert readers.is_empty(file)


def test_a_packed_file_that_is_cut_short_is_refused_even_where_its_lines_are_whole(write: Write) -> None:
    whole = packed(('\n'.join(ad(f'0.{number}') for number in range(99_999)) + '\n').encode(), '.gz')
    with pytest.raises(LandingError, match=f'^{NAME}.gz: cut short or damaged'):
        read(write(whole[:-8], f'{NAME}.gz'))


_TEXT = st.text('ab":,{}[]\\\n é0', max_size=4)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=3,
)
_ROWS = st.lists(st.dictionaries(_TEXT.filter(bool), _JSON, min_size=1, max_size=3), min_size=1, max_size=4)


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(_ROWS)
def test_what_json_holds_comes_out_whatever_its_fields_are_named(rows: list[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=bool(at % 2)) for at, row in enumerate(rows)]
    objects = [json_object.decoded(line) for line in lines]
    names = list(dict.fromkeys(name for row in rows for name in row))
    assert all(isinstance(found, dict) for found in objects)
    table = json_object.table([found for found in objects if isinstance(found, dict)], lines, names, ())
    for at, row in enumerate(rows):
        for name in names:
            text, value = table.rows[name][at], row.get(name)
            if isinstance(value, str) or value is None:
                assert text == value
            else:
                assert json.loads(text) == value


@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(_ROWS)
def test_every_field_of_every_line_is_found(rows: list[dict[str, Any]]) -> None:
    text = '\n'.join(json.dumps(row, ensure_ascii=bool(at % 2)) for at, row in enumerate(rows))
    file: Any = None
    assert ndjson._fields(file, io.BytesIO(text.encode())) == list(dict.fromkeys(name for row in rows for name in row))
