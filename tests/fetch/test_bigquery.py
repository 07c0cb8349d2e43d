"""What Google refuses, in words that say what to do about it."""

import os
import re

import pytest

from kly_mage.fetch.refusals import of_bucket, of_export, refused
from tests.bigquery_emulator import client_folder
from tests.commands import run
from tests.refusing import refusing

DENIED = 'Access Denied: Dataset shop:analytics_1: Permission bigquery.tables.list denied on dataset shop:analytics_1'


@pytest.mark.parametrize(
    ('kind', 'said', 'remedy'),
    [
        ('Forbidden', DENIED, 'BigQuery Data Viewer (roles/bigquery.dataViewer) on the data set shop.analytics_1'),
        (
            'PermissionDenied',
            "Permission 'bigquery.readsessions.create' denied on resource 'projects/shop'",
            'BigQuery Read Session User (roles/bigquery.readSessionUser) on the project shop',
        ),
        (
            'Forbidden',
            'Quota exceeded: tables.list',
            'wait until it is free again, or have it raised; nothing half-done was kept',
        ),
        ('ResourceExhausted', 'too much', 'wait until it is free again, or have it raised; nothing half-done was kept'),
        (
            'PermissionDenied',
            'BigQuery Storage API has not been used in project 1 before or it is disabled.',
            'enable the BigQuery API and the BigQuery Storage API',
        ),
        (
            'InvalidArgument',
            'Dataset shop:analytics_1 is in a different location: EU',
            'go there; nothing half-done was kept',
        ),
        ('NotFound', 'Not found: Project shop', "as GA4's admin pages name it under BigQuery links"),
        ('NotFound', 'Not found: Dataset shop:analytics_1', "as GA4's admin pages name it under BigQuery links"),
    ],
)
def test_a_refusal_names_its_remedy(kind: str, said: str, remedy: str) -> None:
    told = refused(kind, said, of_export('shop.analytics_1', 'KLY_FETCH_MAX_BYTES', 'go there'))
    assert f'({said})' in told
    assert told.endswith(remedy)


@pytest.mark.parametrize(
    ('kind', 'said', 'remedy'),
    [
        ('Unauthorized', 'Anonymous caller does not have storage.objects.list access', 'on the bucket gs://shop-exports'),
        ('Forbidden', 'Cloud Storage JSON API has not been used in project 1 before.', 'enable the Cloud Storage API'),
        ('NotFound', 'The specified bucket does not exist.', 'as the Google Cloud console names it'),
        ('BadRequest', 'Bucket is a requester pays bucket but no user project provided.', 'or have that changed'),
        ('TooManyRequests', 'slow down', 'wait until it is free again, or have it raised; nothing half-done was kept'),
    ],
)
def test_a_refusal_of_a_bucket_names_its_remedy(kind: str, said: str, remedy: str) -> None:
    told = refused(kind, said, of_bucket('shop-exports'))
    assert f'({said})' in told
    assert told.endswith(remedy)
    assert 'BigQuery' not in told


def test_an_account_without_rights_is_told_which_role_it_lacks_in_one_line() -> None:
    with refusing(403, DENIED) as address:
        told = run(
            *('fetch', 'ga4', '--start', '2025-10-01'),
            PYTHONPATH=str(client_folder()) + os.pathsep + os.environ.get('PYTHONPATH', ''),
            BIGQUERY_EMULATOR_HOST=address,
            BIGQUERY_STORAGE_EMULATOR_HOST='127.0.0.1:1',
            KLY_GA4_DATASET='shop.analytics_1',
        )
    assert re.fullmatch(
        rf'error: not allowed \({DENIED}.*\): the account needs .*roles/bigquery.dataViewer.*\n', told.stderr
    )
    assert told.returncode == 1
