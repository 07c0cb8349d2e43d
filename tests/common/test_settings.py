"""The settings: one reader for every way in, the environment before ``.env``, and words for what cannot be meant."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from kly_mage.common.errors import SettingsError
from kly_mage.common.settings import REPOSITORY, VARIABLES, Settings, doubts, load_settings


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ``.env`` of this test's own, and nothing set besides."""
    for name in os.environ:
        if name.startswith(('KLY_', 'POSTGRES_', 'MAGE_')):
            monkeypatch.delenv(name)
    monkeypatch.setenv('KLY_ENV_FILE', str(tmp_path / '.env'))
    (tmp_path / '.env').touch()
    return tmp_path / '.env'


def test_without_anything_set_every_setting_has_its_default(env: Path) -> None:
    assert load_settings() == Settings()
    assert load_settings().data_dir == REPOSITORY / 'data'


def test_the_environment_counts_before_the_file_and_an_empty_value_counts_as_none(
    env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.write_text('KLY_LATE_DAYS=5\nKLY_TIMEZONE=Europe/Berlin\nPOSTGRES_USER=\nPOSTGRES_DBNAME=mine\n')
    monkeypatch.setenv('KLY_LATE_DAYS', '7')
    monkeypatch.setenv('KLY_TIMEZONE', '')
    found = load_settings()
    assert (found.late_days, found.timezone, found.user, found.dbname) == (7, 'Europe/Berlin', 'postgres', 'mine')


def test_a_folder_in_the_file_is_relative_to_it_and_one_in_the_environment_to_where_we_are(
    env: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env.write_text('KLY_DATA_DIR=landing\nKLY_LOCAL_DIR=/srv/local\n')
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    assert load_settings().data_dir == tmp_path / 'landing'
    assert load_settings().local_dir == Path('/srv/local')
    monkeypatch.setenv('KLY_DATA_DIR', 'landing')
    assert load_settings().data_dir == tmp_path / 'elsewhere' / 'landing'


def test_where_events_name_their_article_is_a_list_of_parameters_and_expressions(env: Path) -> None:
    env.write_text(r"KLY_GA4_ARTICLE='post_id  path:^/read/([0-9]{3,7}),(?:x|$) path:(?P<id>[a-z]+)$'")
    assert load_settings().ga4_article == ('post_id', r'path:^/read/([0-9]{3,7}),(?:x|$)', 'path:(?P<id>[a-z]+)$')


CANNOT_BE_MEANT = [
    (
        'KLY_GA4_ARTICLE',
        'content_id,post_id',
        "has 'content_id,post_id', which is neither the name of a parameter nor path:",
    ),
    ('KLY_GA4_ARTICLE', 'path:/(', 'has path:/(, which is no regular expression (unclosed group)'),
    ('KLY_GA4_ARTICLE', r'path:(a)\1', 'which is no regular expression (backreferences are not supported)'),
    ('KLY_GA4_ARTICLE', 'path:(a{1000}){1000}{1000}', 'is no regular expression (Compiled regex exceeds size limit'),
    ('KLY_GA4_ARTICLE', 'path:/read', 'has path:/read, which has 0 groups (…); the article is what stands in the only one'),
    ('KLY_GA4_ARTICLE', 'path:(a)(b)', 'which has 2 groups'),
    ('KLY_TIMEZONE', 'Jakarta', "KLY_TIMEZONE='Jakarta' is no time zone; use a name such as Asia/Jakarta"),
    ('KLY_TIMEZONE', '/etc/passwd', "KLY_TIMEZONE='/etc/passwd' is no time zone"),
    ('KLY_LATE_DAYS', '-1', "KLY_LATE_DAYS='-1' is no whole number from 0 to 3,650"),
    ('KLY_LATE_DAYS', '1000000000', "KLY_LATE_DAYS='1000000000' is no whole number from 0 to 3,650"),
    ('KLY_LATE_DAYS', '9' * 5000, 'is no whole number from 0 to 3,650'),
    ('KLY_LATE_DAYS', '3651', 'is no whole number from 0 to 3,650'),
    ('KLY_LATE_DAYS', '²', 'is no whole number'),
    ('POSTGRES_PORT', '0', "POSTGRES_PORT='0' is no whole number from 1 to 65,535"),
    ('KLY_EDITOR_PORT', '65536', "KLY_EDITOR_PORT='65536' is no whole number from 1 to 65,535"),
    ('KLY_ALERT_WEBHOOK', 'ftp://geheim', 'KLY_ALERT_WEBHOOK is no address that begins with https:// or http://'),
    ('KLY_ALERT_WEBHOOK', 'http://[geheim', 'KLY_ALERT_WEBHOOK is no address'),
]


@pytest.mark.parametrize(('name', 'value', 'message'), CANNOT_BE_MEANT)
@pytest.mark.parametrize('place', ['file', 'environment'])
def test_what_cannot_be_meant_is_said_with_its_variable_and_never_a_secret(
    env: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str, place: str
) -> None:
    if place == 'file':
        env.write_text(f'{name}={value}\n')
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load_settings()
    assert message in str(error.value)
    assert 'geheim' not in str(error.value)


def test_no_secret_stands_in_a_representation(env: Path) -> None:
    secrets = ('POSTGRES_PASSWORD', 'MAGE_OWNER_PASSWORD', 'MAGE_JWT_SECRET', 'MAGE_DATABASE_CONNECTION_URL')
    env.write_text(''.join(f'{name}=geheim\n' for name in secrets) + 'KLY_ALERT_WEBHOOK=https://x/geheim\n')
    assert load_settings().password == 'geheim'
    assert 'geheim' not in repr(load_settings())


@pytest.mark.parametrize('place', ['file', 'environment'])
def test_a_variable_of_ours_that_is_none_is_said_with_the_one_that_is_meant(
    env: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place == 'file':
        env.write_text('KLY_TIMEZON=Europe/Berlin\nKLY_XYZ=1\nPOSTGRES_SCHEMA=x\n')
    else:
        monkeypatch.setenv('KLY_TIMEZON', 'Europe/Berlin')
        monkeypatch.setenv('KLY_XYZ', '1')
    assert doubts() == 'KLY_TIMEZON is no setting (is KLY_TIMEZONE meant?); KLY_XYZ is no setting'


def test_a_file_that_is_named_and_not_there_is_said(env: Path) -> None:
    assert doubts() is None
    env.unlink()
    assert load_settings() == Settings()
    assert doubts() == f"KLY_ENV_FILE='{env}' is not there"


def test_every_setting_is_documented_where_people_look_for_it() -> None:
    page, example = ((REPOSITORY / name).read_text('utf-8') for name in ('docs/configuration.md', '.env.example'))
    rows = [line for line in page.splitlines() if re.match(r'\| `(KLY|POSTGRES|MAGE)_', line)]
    named = {name for row in rows for name in re.findall(r'`((?:KLY|POSTGRES|MAGE)_\w+)`', row.split('|')[1])}
    assert named == set(VARIABLES)
    compose = set(re.findall(r'\$\{([A-Z0-9_]+)', (REPOSITORY / 'docker-compose.yml').read_text('utf-8')))
    assert compose - set(VARIABLES) == {'MAGE_UID', 'POSTGRES_SUPERUSER_PASSWORD'}  # the containers' own affair
    assert set(re.findall(r'^#?([A-Z0-9_]+)=', example, re.MULTILINE)) == set(VARIABLES) | compose
    defaults = {each.metadata['variable']: each.default for each in fields(Settings)}
    for name, value in re.findall(r'^#((?:KLY|POSTGRES)_\w+)=(\w+(?:/\w+)?)$', example, re.MULTILINE):
        assert name == 'POSTGRES_USER' or value == str(defaults[name]), name  # compose's user is kly


# --- the same file, whoever asks --------------------------------------------------------------------------------------

PASSWORD = 'pa$wo#rd with "both\' kinds'


def asked(*command: str, **environment: str) -> 'subprocess.CompletedProcess[str]':
    """Run it from the root folder, as cron does, with an environment as bare as cron's."""
    bare = {'PATH': os.environ['PATH'], 'HOME': '/nonexistent', 'PYTHONPATH': str(REPOSITORY)}
    return subprocess.run(command, env=bare | environment, cwd='/', capture_output=True, text=True, timeout=120, check=False)


def test_cron_loads_the_landing_zone_of_the_file_and_not_the_sample(tmp_path: Path) -> None:
    (tmp_path / '.env').write_text(f'KLY_DATA_DIR={tmp_path}/landing\nPOSTGRES_HOST=/nowhere\n')
    backfill = ('-m', 'kly_mage', 'backfill', '--start', '2025-10-01', '--dry-run')
    done = asked(sys.executable, *backfill, KLY_ENV_FILE=str(tmp_path / '.env'))
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == f'error: no landing zone at {tmp_path}/landing: create it or set KLY_DATA_DIR\n'


def test_the_password_reaches_a_command_started_by_make_as_it_is_written(tmp_path: Path) -> None:
    escaped = PASSWORD.replace("'", "\\'")
    (tmp_path / '.env').write_text(f"POSTGRES_PASSWORD='{escaped}'\n")
    (tmp_path / 'makefile').write_text(f'include {REPOSITORY}/Makefile\nask:\n\t@$(PYTHON) $(CODE)\n')
    code = tmp_path / 'code.py'
    code.write_text(
        'import json, os\n'
        'from kly_mage.common.settings import load_settings\n'
        'print(json.dumps([load_settings().password, os.environ.get("START"), os.environ.get("POSTGRES_PASSWORD")]))\n'
    )
    make = ('make', '--no-print-directory', '-f', str(tmp_path / 'makefile'), 'ask', f'PYTHON={sys.executable}')
    done = asked(*make, f'CODE={code}', 'START=2025-10-05', KLY_ENV_FILE=str(tmp_path / '.env'))
    assert json.loads(done.stdout) == [PASSWORD, None, None], done.stderr


def test_a_typing_error_is_one_line_beside_the_result(tmp_path: Path) -> None:
    (tmp_path / '.env').write_text('KLY_TIMEZON=Europe/Berlin\n')
    dry = ('-m', 'kly_mage', 'backfill', '--start', '2025-10-01', '--pipeline', 'ads_revenue', '--dry-run')
    done = asked(sys.executable, *dry, KLY_ENV_FILE=str(tmp_path / '.env'))
    assert done.returncode == 0
    assert done.stderr == 'warning: KLY_TIMEZON is no setting (is KLY_TIMEZONE meant?)\n'


def test_a_file_that_cannot_be_read_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / '.env').write_text("POSTGRES_PASSWORD='geheim\n")
    done = asked(sys.executable, '-m', 'kly_mage', 'show', KLY_ENV_FILE=str(tmp_path / '.env'))
    assert done.returncode == 2
    assert done.stderr.startswith(f'error: {tmp_path}/.env, line 1 is no NAME=value')
    assert 'geheim' not in done.stderr
