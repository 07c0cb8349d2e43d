"""What docker-compose.yml and the Dockerfile promise by themselves, without an engine; the rest is in test_compose.py."""

import re
from typing import Any

import pytest
import yaml

from kly_mage import __version__
from kly_mage.common.settings import REPOSITORY

SERVICES: dict[str, Any] = yaml.safe_load((REPOSITORY / 'docker-compose.yml').read_text('utf-8'))['services']
PINNED = re.compile(r'[a-z/]+:\d+(\.\d+)+[\w.-]*@sha256:[0-9a-f]{64}')


def test_every_image_from_outside_is_pinned_by_tag_and_digest() -> None:
    outside = [service['image'] for service in SERVICES.values() if 'build' not in service]
    outside += re.findall(r'^ARG PYTHON_IMAGE=(.*)$', (REPOSITORY / 'Dockerfile').read_text('utf-8'), re.M)
    assert len(outside) == 2
    assert [image for image in outside if not PINNED.fullmatch(image)] == []


def test_the_image_of_the_project_is_called_by_its_version() -> None:
    assert {service['image'] for service in SERVICES.values() if 'build' in service} == {f'kly_mage:{__version__}'}


@pytest.mark.parametrize('service', SERVICES.values(), ids=SERVICES)
def test_a_service_is_reached_from_this_machine_only_and_cannot_gain_rights(service: dict[str, Any]) -> None:
    assert [port for port in service['ports'] if not port.startswith('127.0.0.1:')] == []
    assert service['cap_drop'] == ['ALL']
    assert service['security_opt'] == ['no-new-privileges:true']


def test_the_mage_container_gets_the_project_and_the_landing_zone_and_neither_git_nor_env() -> None:
    mounts = [mount for mount in SERVICES['mage']['volumes'] if isinstance(mount, dict)]
    assert [(mount['source'], mount.get('read_only', False)) for mount in mounts] == [
        ('./kly_mage', False),
        ('./docs/words.md', True),
        ('${KLY_DATA_DIR:-./data}', True),
    ]


def test_the_dashboards_container_gets_the_project_to_read_and_nothing_else() -> None:
    service = SERVICES['dashboard']
    assert [(mount['source'], mount['read_only']) for mount in service['volumes']] == [
        ('./kly_mage', True),
        ('./docs/words.md', True),
    ]
    assert 'MAGE_JWT_SECRET' not in service['environment']


def test_nothing_but_the_lists_of_packages_reaches_an_image() -> None:
    lines = (REPOSITORY / '.dockerignore').read_text('utf-8').splitlines()
    rules = [line for line in lines if line and not line.startswith('#')]
    assert rules == [
        '*',
        '!requirements.txt',
        '!requirements.lock',
        '!requirements-override.txt',
        '!requirements-dashboard.txt',
    ]
