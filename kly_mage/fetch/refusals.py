"""What Google says when it refuses something, in one line with what to do: for ``fetch``, loads and commands alike."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from kly_mage.common.errors import FetchError
from kly_mage.common.redaction import redacted
from kly_mage.common.text import printable

_SAID = 200  # characters of Google's own words
_LIMITS = ('TooManyRequests', 'ResourceExhausted')
_DENIED = ('Forbidden', 'PermissionDenied', 'Unauthorized', 'Unauthenticated')
_NOTHING = 'nothing half-done was kept'


@dataclass(frozen=True)
class Asked:
    """Who asks for what.

    Attributes:
        project: who pays.
        data: the data sets, in words.
        role: what the account needs on these, with its name.
        names: the setting that names them.
        cap: the setting of how many bytes may be read.
        region: what to do where they are in another region than the job.
        own: whether their tables are ours.
        reads: a further data set that is only read, ``PROJECT.NAME``.
        service: who is asked.
        apis: what has to be enabled for that.
    """

    project: str
    data: str
    role: str
    names: str
    cap: str
    region: str
    own: bool = False
    reads: str | None = None
    service: str = 'BigQuery'
    apis: str = 'the BigQuery API and the BigQuery Storage API'


def of_export(full_name: str, cap: str, region: str) -> Asked:
    """Of who reads the data set of GA4's export, and nothing else.

    Args:
        full_name: ``PROJECT.NAME``.
    """
    return Asked(
        full_name.rpartition('.')[0],
        f'the data set {full_name}',
        'BigQuery Data Viewer (roles/bigquery.dataViewer)',
        "KLY_GA4_DATASET is PROJECT.analytics_NUMBER, as GA4's admin pages name it under BigQuery links",
        cap,
        region,
    )


def of_bucket(name: str) -> Asked:
    """Of who reads a bucket, and nothing else."""
    return Asked(
        f'of gs://{name}',
        f'the bucket gs://{name}',
        'Storage Object Viewer (roles/storage.objectViewer)',
        'KLY_BUCKET is gs://BUCKET/PREFIX, as the Google Cloud console names it',
        '--max-bytes or KLY_FETCH_MAX_BYTES',
        'name a bucket that may be read from here',
        service='Cloud Storage',
        apis='the Cloud Storage API',
    )


@dataclass(frozen=True)
class Refusal:
    """A refusal in words; ``passes`` if trying later helps and nobody need do anything."""

    text: str
    passes: bool = False


def refusal(error: BaseException, asked: Asked) -> Refusal | None:
    """What to do about an error of Google's libraries; None if it is none."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from requests.exceptions import RequestException

    said = _said(error)
    if isinstance(error, auth.DefaultCredentialsError):
        return Refusal(
            'no credentials for Google Cloud: run `gcloud auth application-default login`, or let '
            'GOOGLE_APPLICATION_CREDENTIALS name the key file of a service account'
        )
    if isinstance(error, auth.RefreshError):
        return Refusal(f'Google refuses the credentials ({said}): sign in again, or make a new key')
    if isinstance(error, auth.GoogleAuthError):
        return Refusal(f'Google cannot be asked for access ({said}): is there a network?', passes=True)
    if isinstance(error, (RequestException, ConnectionError, TimeoutError, api.RetryError, api.ServerError)):
        return Refusal(
            f'{asked.service} does not answer ({said}): look at the network of this machine, and try it again', passes=True
        )
    if isinstance(error, api.GoogleAPIError) and is_in_the_way(said):
        return Refusal(
            f'other loads or refreshes were in the way at each try ({said}); {_NOTHING}: run it again when they are done',
            passes=True,
        )
    if isinstance(error, api.GoogleAPIError):
        return Refusal(refused(type(error).__name__, said, asked))
    return None


@contextmanager
def told(asked: Asked) -> Iterator[None]:
    """What Google's libraries raise, in one line with what to do about it.

    Raises:
        FetchError: Google refuses what is asked.
    """
    try:
        yield
    except Exception as error:
        if found := refusal(error, asked):
            raise FetchError(found.text) from None
        raise


def is_in_the_way(said: str) -> bool:
    """Whether BigQuery says that another transaction has changed the same table first. Nothing of ours is kept then."""
    return any(words in said for words in ('due to concurrent update', 'Could not serialize access'))


def refused(kind: str, said: str, asked: Asked) -> str:
    """What to do about an answer that is a refusal.

    Args:
        kind: the name of the error.
        said: what Google says of it.
    """
    if asked.reads and asked.reads.rpartition('.')[2] in said:
        asked = replace(of_export(asked.reads, asked.cap, asked.region), project=asked.project)
    for words, remedy in _REMEDIES:
        if re.search(words, said, re.IGNORECASE) or (words is _QUOTA and kind in _LIMITS):
            return f'{asked.service} refuses ({said}): {remedy.format(**vars(asked))}'
    if kind in _DENIED or re.search('permission|denied', said, re.IGNORECASE):
        return f'not allowed ({said}): the account needs {_role(said, asked)}'
    if asked.own and re.search(_BY_HAND, said, re.IGNORECASE):
        return (
            f'{asked.service} refuses ({said}): in {asked.data} something was changed or dropped by hand; put it back (for '
            f'a week BigQuery knows it as it was: FOR SYSTEM_TIME AS OF), or drop them and load again; {_NOTHING}'
        )
    if kind == 'NotFound' or re.match('not found', said, re.IGNORECASE):
        return f'{asked.data} is not there ({said}): {asked.names}'
    return f'{asked.service} refuses: {said}'


def _role(said: str, asked: Asked) -> str:
    """The role that has the permission which is missing."""
    for permission, role in _ROLES:
        if permission in said.lower():
            return role.format(project=asked.project)
    return f'{asked.role} on {asked.data}'


def _said(error: BaseException) -> str:
    """An error in a few words, on one line, without what nobody else may know."""
    text = str(getattr(error, 'message', None) or error or type(error).__name__)
    return printable(redacted(re.sub(r'^(?:\d+ )?[A-Z]+ https?://\S+: ', '', (text.strip().splitlines() or [''])[0])), _SAID)


_QUOTA = r'quota|rate.?limit'
_BY_HAND = (
    r'not found: (?:table|dataset)|unrecognized name|name \w+ not found|column \w+ is not present'
    r'|cannot be inserted into column|does not match table|schema mismatch|no such field|has type \w+ which'
)
_ROLES = (
    ('bigquery.readsessions', 'BigQuery Read Session User (roles/bigquery.readSessionUser) on the project {project}'),
    ('bigquery.jobs.create', 'BigQuery Job User (roles/bigquery.jobUser) on the project {project}'),
    ('bigquery.datasets.create', 'BigQuery User (roles/bigquery.user), which may make data sets, on the project {project}'),
    ('bigquery.jobs.list', 'BigQuery Resource Viewer (roles/bigquery.resourceViewer) on the project {project}'),
)
# What it says, and what to do; the first that fits.
_REMEDIES = (
    (
        'bytes billed|bytesBilledLimitExceeded',
        'more bytes than {cap} would be read; ' + _NOTHING + '. Ask for fewer days at once, or allow more',
    ),
    (
        'too many partitions',
        'a job may change 4,000 days of a table at most; '
        + _NOTHING
        + '. Ask for fewer days at once, with --start and --end',
    ),
    (_QUOTA, 'a quota of the project {project} is used up: wait until it is free again, or have it raised; ' + _NOTHING),
    (
        'requester pays',
        '{data} has whoever reads it pay, which fetch does not: copy what is in it into one of yours, or have that changed',
    ),
    (
        'billing (?:has not been|is not|must be) enabled|free tier|sandbox',
        'the project {project} has no billing account, and a sandbox changes no rows: link one in the Google Cloud console',
    ),
    (
        'has not been used|is disabled|accessNotConfigured',
        'an API of the project {project} is off: enable {apis}',
    ),
    (
        r'not found: dataset .* in location|different (?:location|region)s?'
        r'|region \S+ (?:does not|is not)|location \S+ (?:does not|is not)',
        '{data} and the job are in different regions: {region}; ' + _NOTHING,
    ),
    (
        'not found: project|unknown project|project \\S+ (?:is not found|does not exist|has been deleted)|invalid project',
        '{project} names no project that these credentials see: {names}',
    ),
    ('cancelled|canceled|was stopped', 'somebody stopped the job, in the console perhaps; ' + _NOTHING + '. Run it again'),
)
