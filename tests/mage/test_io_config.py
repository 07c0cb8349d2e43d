"""``io_config.yaml``, which Mage fills in from the environment before it reads it: its SQL blocks connect with that."""

import pytest

from kly_mage.common.settings import PROJECT


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('password', ['plain', 'p@ss:w/rd%20"#$x \'y\\z', '{{ x }}', ''])
def test_a_password_reaches_the_sql_blocks_as_it_is(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    from mage_ai.io.config import ConfigFileLoader

    for name, value in {'HOST': 'here', 'PORT': '5432', 'DBNAME': 'kly', 'USER': 'kly', 'PASSWORD': password}.items():
        monkeypatch.setenv(f'POSTGRES_{name}', value)
    assert ConfigFileLoader(str(PROJECT / 'io_config.yaml'), 'default')['POSTGRES_PASSWORD'] == password
