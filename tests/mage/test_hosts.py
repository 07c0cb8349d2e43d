"""Which addresses are the editor's own."""

import pytest

from kly_mage.common.errors import SettingsError
from kly_mage.mage.hosts import own_hosts


def test_without_a_setting_only_this_machine_with_the_port() -> None:
    here = own_hosts(6789)
    assert here.names == {'127.0.0.1:6789', 'localhost:6789', '[::1]:6789'}
    assert here.origins == {'http://127.0.0.1:6789', 'http://localhost:6789', 'http://[::1]:6789'}


@pytest.mark.parametrize(
    ('setting', 'names', 'origins'),
    [
        ('https://Kly.example.org', {'kly.example.org', 'kly.example.org:443'}, {'https://kly.example.org'}),
        ('https://kly.example.org:443/', {'kly.example.org', 'kly.example.org:443'}, {'https://kly.example.org'}),
        ('https://a.example:8443', {'a.example:8443'}, {'https://a.example:8443'}),
        ('localhost:9999', {'localhost:9999'}, {'http://localhost:9999', 'https://localhost:9999'}),
        ('http://a.example, http://b.example', {'a.example', 'a.example:80', 'b.example', 'b.example:80'},
         {'http://a.example', 'http://b.example'}),
    ],
)  # fmt: skip
def test_the_setting_adds_addresses_as_the_address_bar_shows_them(setting: str, names: set[str], origins: set[str]) -> None:
    here = own_hosts(6789, setting)
    assert here.names - own_hosts(6789).names == names
    assert here.origins - own_hosts(6789).origins == origins


@pytest.mark.parametrize('setting', ['*', '*.example.org', 'https://', 'ftp://a.example', 'https://a.example/mage'])
def test_a_pattern_or_a_path_is_refused(setting: str) -> None:
    with pytest.raises(SettingsError, match='KLY_EDITOR_HOSTS'):
        own_hosts(6789, setting)
