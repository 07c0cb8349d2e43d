"""Which line of which file each row is, and what is wrong with files that cannot be read."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kly_mage.common.errors import LandingError
from kly_mage.declared.cms_articles import CMS_ARTICLES
from kly_mage.declared.gam_delivery import GAM_DELIVERY
from kly_mage.landing import csv as landing_csv
from kly_mage.landing import files as landing
from kly_mage.landing import readers
from tests.landing.zone import FILE, HEADER, JAKARTA, Write, located, read, row

# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('content', 'lines'),
    [
        pytest.param(row('a') + row('b'), [(2, 'a'), (3, 'b')], id='plain'),
        pytest.param(row('a') + row('b').strip(), [(2, 'a'), (3, None)], id='no end of the last line'),
        pytest.param(
            '\n' + row('a') + '\n\n' + row('b') + '\n', [(3, 'a'), (6, 'b')], id='blank lines count and are no rows'
        ),
        pytest.param(row('a') + ',,,,\n' + row('b'), [(2, 'a'), (4, 'b')], id='nor is a line of commas'),
        pytest.param(row('"a\nb\n"') + row('c'), [(2, 'a\nb\n'), (5, 'c')], id='line breaks inside quotes'),
        pytest.param(row('"a\r\nb"') + row('c'), [(2, 'a\r\nb'), (4, 'c')], id='a Windows line break inside quotes'),
        pytest.param(row('"a,b"') + row('"c""d"'), [(2, 'a,b'), (3, 'c"d')], id='commas and quotes inside quotes'),
        pytest.param(row('5" screen') + row('b'), [(2, '5" screen'), (3, 'b')], id='a quote in the middle is a character'),
        pytest.param('x,y\n' + row('a'), [(2, None), (3, 'a')], id='too few fields'),
        pytest.param(row('a') + row('b,b') + row('c'), [(2, 'a'), (3, None), (4, 'c')], id='too many fields'),
        pytest.param('"x\ny",z\n' + row('a'), [(2, None), (4, 'a')], id='a ragged row of two lines'),
        pytest.param(
            row('a') + '"x\ny",z\n' + row('"b\nc"') + 'x\n\n' + row('d'),
            [(2, 'a'), (3, None), (5, 'b\nc'), (7, None), (9, 'd')],
            id='all of it together',
        ),
        pytest.param('x\n', [(2, None)], id='only a ragged row'),
    ],
)
@pytest.mark.parametrize('slices', ['one slice', 'many slices'])
def test_every_row_knows_its_line(
    write: Write, monkeypatch: pytest.MonkeyPatch, content: str, lines: list[tuple[int, str | None]], slices: str
) -> None:
    if slices == 'many slices':
        monkeypatch.setattr(landing_csv, 'SLICE_BYTES', 64)  # the header has 49 bytes, a row about as many
    assert located(read(write(HEADER + content))) == lines


@pytest.mark.parametrize('slice_bytes', [64, 1000, 1 << 20])
def test_lines_are_right_wherever_the_slices_end(write: Write, monkeypatch: pytest.MonkeyPatch, slice_bytes: int) -> None:
    monkeypatch.setattr(landing_csv, 'SLICE_BYTES', slice_bytes)
    content, line, wanted = HEADER, 2, []
    for number in range(300):
        kind = number % 7
        text = {0: 'bad\n', 1: '\n', 2: row(f'"{number}\n\n"'), 3: '"x\ny",z\n', 4: row(f'é{number}')}.get(
            kind, row(f'{number}')
        )
        unit = {0: None, 2: f'{number}\n\n', 3: None, 4: f'é{number}'}.get(kind, f'{number}')
        if kind != 1:
            wanted.append((line, unit))
        content, line = content + text, line + text.count('\n')
    assert located(read(write(content))) == wanted


@pytest.mark.parametrize('end', ['\r\n', '\r'])
def test_lines_may_end_as_on_windows_or_an_old_mac(write: Write, end: str) -> None:
    folder = write((HEADER + row('a') + 'x\n' + row('b')).replace('\n', end))
    assert located(read(folder)) == [(2, 'a'), (3, None), (4, 'b')]


def test_a_byte_order_mark_is_no_part_of_the_first_name(write: Write) -> None:
    folder = write(b'\xef\xbb\xbf' + (HEADER + row('a')).encode())
    assert located(read(folder)) == [(2, 'a')]
    assert readers.undeclared_columns(GAM_DELIVERY, landing.find_files(GAM_DELIVERY, folder, JAKARTA)) == []


def test_a_ragged_row_tells_what_it_has_and_what_it_should_have(write: Write) -> None:
    told = json.loads(read(write(HEADER + 'x,"y\0z"\n'))['_reject'][0])
    assert told == {
        'column': None,
        'value': None,
        'reason': '2 fields, the header has 5',
        'row': {'line': 'x,"y\N{REPLACEMENT CHARACTER}z"'},
    }


def test_an_unquoted_nothing_is_null_and_quotes_around_nothing_are_an_empty_text(write: Write) -> None:
    content = 'content_id,title,author,section\n1,,"",NULL\n'
    found = read(write(content, 'cms_articles.csv'), source=CMS_ARTICLES)
    assert found.select('title', 'author', 'section', '_reject').row(0) == (None, '', 'NULL', None)


def test_the_order_of_columns_is_free(write: Write) -> None:
    folder = write('revenue_usd,clicks,impressions,ad_unit,served_at\n0.5,0,1,a,2025-10-01T12:00:00+07:00\n')
    write(HEADER + row('a'), 'gam_delivery/gam_delivery_20251001_2.csv')
    found = read(folder).select(*GAM_DELIVERY.names, '_partition_date', '_reject', '_line')
    assert found.height == 2
    first, second = found.rows()
    assert first == second


def test_gzip_is_read_as_it_is(write: Write) -> None:
    write(gzip.compress((HEADER + row('a')).encode()), f'{FILE}.gz')
    assert located(read(write(HEADER + row('b'), 'gam_delivery/more.csv'))) == [(2, 'a'), (2, 'b')]


def test_a_row_longer_than_a_slice_is_said_to_be_too_long(write: Write) -> None:
    folder = write(HEADER + row('a') + row('x' * (3 << 20)) + row('b'))
    with pytest.raises(LandingError, match=rf'^{FILE}: the row of line 3 is longer than 1 MB; a quote in it may be open$'):
        read(folder)


def test_a_field_of_900_kilobytes_is_one_value(write: Write) -> None:
    found = read(write(HEADER + row('a') + row('x' * 900_000) + row('b')))
    assert [len(unit) for unit in found.sort('_line')['ad_unit']] == [1, 900_000, 1]


# --- files without rows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('content', ['', '\ufeff', HEADER, HEADER.strip(), HEADER.replace('\n', '\r\n'), HEADER + '\n\n'])
@pytest.mark.parametrize('packed', [False, True])
def test_a_file_without_rows_is_read_and_gives_none(write: Write, content: str, packed: bool) -> None:
    data = gzip.compress(content.encode()) if packed else content.encode()
    found = read(write(data, f'{FILE}.gz' if packed else FILE))
    assert found.height == 0
    assert {'served_at', 'revenue_usd', '_partition_date', '_reject', '_file', '_line', '_delivered_at'} <= set(
        found.columns
    )


def test_no_file_at_all_gives_no_rows(tmp_path: Path) -> None:
    (tmp_path / 'gam_delivery').mkdir()
    assert read(tmp_path).height == 0


# --- files that cannot be used ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        pytest.param('\n' + row('a'), 'required column missing: served_at, ad_unit', id='no header'),
        pytest.param(
            HEADER.replace('clicks', 'klicks'), 'missing: clicks; the file has served_at, ad_unit', id='misspelled'
        ),
        pytest.param(HEADER.replace('ad_unit', 'ad_unit,ad_unit'), 'names a column twice: ad_unit', id='twice'),
        pytest.param(HEADER.replace('ad_unit', 'ad_unit,'), "has an unusable column name ''", id='a nameless column'),
        pytest.param(HEADER.replace('ad_unit', f'ad_unit,{"é" * 32}'), 'has an unusable column name', id='64 bytes'),
        pytest.param(HEADER.replace('ad_unit', 'ad_unit,a\0b'), 'has an unusable column name', id='NUL in a name'),
        pytest.param(
            HEADER.replace('ad_unit', 'ad_unit,_hashrow'), 'column _hashrow: names that begin with _', id='our names'
        ),
        pytest.param((HEADER + row('é')).encode('latin-1'), 'line 2 is not UTF-8 (byte 27)', id='Latin-1'),
        pytest.param(HEADER.encode() + b'x\xff\n', 'line 2 is not UTF-8 (byte 2)', id='a ragged row that is not UTF-8'),
        pytest.param((HEADER + row('a')).encode() + b'x\xc3', 'line 3 is not UTF-8 (byte 2)', id='ends inside a character'),
        pytest.param((HEADER + row('a')).encode('utf-16-le'), 'is UTF-16 without a byte order mark', id='UTF-16'),
        pytest.param(
            HEADER + row('a') + row('"b') + row('c'), 'row of line 3 opens a quote that is never', id='an open quote'
        ),
        pytest.param(
            HEADER + row('"a\nb"') + row('"c'), 'row of line 4 opens a quote that is never closed', id='a later one'
        ),
        pytest.param(HEADER + row('x' * 200_000) + row('"c'), 'row of line 3 opens a quote', id='an open quote after much'),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(write: Write, content: str | bytes, message: str) -> None:
    folder = write(content)
    with pytest.raises(LandingError) as told:
        read(folder)
    assert str(told.value).startswith(f'{FILE}: ')
    assert message in str(told.value)
    assert '\n' not in str(told.value)


# --- columns nobody declared ------------------------------------------------------------------------------------------


def test_undeclared_columns_are_kept_as_text_in_the_order_they_appear(write: Write) -> None:
    write(HEADER.strip() + ',b,"a ""b"""\n' + row('x').strip() + ',1,2\n')
    folder = write(HEADER.strip() + ',c\n' + row('y').strip() + ',3\n', 'gam_delivery/gam_delivery_20251002.csv')
    assert readers.undeclared_columns(GAM_DELIVERY, landing.find_files(GAM_DELIVERY, folder, JAKARTA)) == [
        'b',
        'a "b"',
        'c',
    ]
    found: Any = read(folder).select('b', 'a "b"', 'c').rows()
    assert found == [('1', '2', None), (None, None, '3')]
