"""The ``.env`` file: what stands there arrives, whoever wrote it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kly_mage.common import env_file
from kly_mage.common.errors import SettingsError

# As docker compose reads them too, but for $ outside of single quotes, which it would replace.
WRITTEN = {
    'plain': ('hunter2', 'hunter2'),
    'a dollar': ('pa$word', 'pa$word'),
    'a dollar and braces': ('pa${HOME}word', 'pa${HOME}word'),
    'two dollars': ('a$$b', 'a$$b'),
    'a hash inside': ('pa#word', 'pa#word'),
    'a hash after a space begins a comment': ('pa #word', 'pa'),
    'a hash in quotes': ("'pa #word'", 'pa #word'),
    'spaces inside': ('a b  c', 'a b  c'),
    'spaces around': ('  a b  ', 'a b'),
    'spaces in quotes': ("' a b '", ' a b '),
    'quotes inside': ('it\'s "so"', 'it\'s "so"'),
    'single quotes, escaped': (r"'it\'s'", "it's"),
    'a dollar in single quotes': ("'pa$word'", 'pa$word'),
    'a dollar in double quotes': ('"pa$word"', 'pa$word'),
    'a backslash': (r'pa\word', r'pa\word'),
    'a backslash in single quotes': (r"'pa\nword'", r'pa\nword'),
    'a line break in double quotes': (r'"pa\nword"', 'pa\nword'),
    'an equals sign': ('a=b==', 'a=b=='),
    'a backtick': ('`id`', '`id`'),
    'of make': ('$(shell id)', '$(shell id)'),
    'letters of others': ('pässwörd日', 'pässwörd日'),
    'nothing': ('', ''),
}


@pytest.mark.parametrize(('written', 'value'), WRITTEN.values(), ids=WRITTEN)
def test_a_value_arrives_as_written(tmp_path: Path, written: str, value: str) -> None:
    (tmp_path / '.env').write_text(f'# a comment\nexport OTHER = x # y\nNAME={written}\nLAST=1\n', 'utf-8')
    assert env_file.read(tmp_path / '.env') == {'OTHER': 'x', 'NAME': value, 'LAST': '1'}


@settings(deadline=None, derandomize=True)
@given(value=st.text(st.characters(exclude_categories=['Cs'])))
def test_whatever_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.mktemp('env') / '.env'
    path.write_text('FIRST=1')
    env_file.write(path, {'NAME': value, 'OTHER': 'x'})
    assert env_file.read(path) == {'FIRST': '1', 'NAME': value, 'OTHER': 'x'}


def test_what_is_not_set_anew_stays_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / '.env'
    rest = "# mine\nA='x\n  NAME=inside\n'\n\n export B = $c # why\r\n"
    path.write_bytes(f'NAME=old\n{rest}NAME='.encode())
    env_file.write(path, {'NAME': 'new'})
    assert path.read_bytes().decode() == f'{rest}NAME=new\n'


def test_a_link_stays_a_link_and_the_file_is_its_owners_only(tmp_path: Path) -> None:
    target, link = tmp_path / 'elsewhere', tmp_path / '.env'
    target.write_text('A=1\n')
    link.symlink_to(target)
    env_file.write(link, {'B': '2'})
    assert link.is_symlink()
    assert target.read_text() == 'A=1\nB=2\n'
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in sorted(tmp_path.iterdir())] == ['.env', 'elsewhere']


def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    (tmp_path / '.env').mkdir()
    with pytest.raises(SettingsError, match='is no file: set KLY_ENV_FILE'):
        env_file.write(tmp_path / '.env', {'A': '1'})
    assert env_file.read(Path('/dev/null')) == {}
    with pytest.raises(SettingsError, match='/dev/null is no file'):
        env_file.write(Path('/dev/null'), {'A': '1'})
    assert Path('/dev/null').is_char_device()


def test_a_line_that_is_none_is_named_by_its_number_and_not_told(tmp_path: Path) -> None:
    path = tmp_path / '.env'
    path.write_text("A=1\n\n\nPASSWORD='geheim\n")
    with pytest.raises(SettingsError) as error:
        env_file.read(path)
    assert str(error.value).startswith(f'{path}, line 4 is no NAME=value')
    assert 'geheim' not in str(error.value)


def test_a_file_in_another_encoding_is_said(tmp_path: Path) -> None:
    (tmp_path / '.env').write_bytes('A=pässword'.encode('latin-1'))
    with pytest.raises(SettingsError, match='is not UTF-8 \\(byte 3\\)'):
        env_file.read(tmp_path / '.env')
