"""Which objects become which files, what a call that is broken off leaves behind, and what is never written."""

import os
import shutil
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from kly_mage.common.errors import FetchError, LandingError, UsageError
from kly_mage.common.window import Window
from kly_mage.fetch import files
from kly_mage.fetch.bucket import Remote
from kly_mage.fetch.place import alone
from kly_mage.loads.progress import silent

crc32c = pytest.importorskip('google_crc32c')
CREATED = datetime(2025, 10, 4, 12, tzinfo=UTC)
PIECE = 4


class Bucket:
    """A bucket whose objects come in pieces of four bytes."""

    def __init__(self, name: str = 'shop') -> None:
        self.name, self.url = name, f'gs://{name}/'
        self.objects: dict[str, tuple[bytes, Remote]] = {}
        self.read: list[tuple[str, int]] = []
        self.breaks_at: int | None = None
        self.lies = False

    def put(self, name: str, content: bytes, *, generation: int = 1, checksum: bool = True) -> None:
        digest = b64encode(crc32c.Checksum(content).digest()).decode() if checksum else None
        created = CREATED.replace(minute=generation)
        self.objects[name] = content, Remote(self.name, name, len(content), generation, digest, created)

    def inside(self, folder: str = '') -> tuple[list[Remote], list[str]]:
        here = {name.removeprefix(folder): remote for name, (_, remote) in self.objects.items() if name.startswith(folder)}
        folders = {f'{name.partition("/")[0]}/' for name in here if '/' in name}
        return [remote for name, remote in here.items() if '/' not in name], sorted(folders)

    def bytes(self, remote: Remote, start: int) -> Iterator[bytes]:
        self.read.append((remote.name, start))
        content = self.objects[remote.name][0]
        for at in range(start, len(content), PIECE):
            if at == self.breaks_at:
                raise FetchError('the line is cut')
            piece = content[at : at + PIECE]
            yield b'?' * len(piece) if self.lies else piece


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def plan(landing: Path, *buckets: Bucket, days: Window | None = None) -> files.Plan:
    is_asked = files.of_days(days, 3, 'Asia/Jakarta') if days else files.any_day
    return files.plan(list(buckets), landing, is_asked)  # type: ignore[arg-type]


def fetch(landing: Path, *buckets: Bucket, max_bytes: int = 1_000) -> files.Plan:
    found = plan(landing, *buckets)
    files.fetch(landing, found, max_bytes, silent)
    return found


def killed(*_: object, **__: object) -> None:
    """What the process does not come to."""
    raise KeyboardInterrupt


def tree(landing: Path) -> dict[str, bytes]:
    """All files but those that fetch keeps for itself."""
    return {
        str(path.relative_to(landing)): path.read_bytes()
        for path in landing.rglob('*')
        if path.is_file() and path.name not in ('.fetch.lock', '.fetched.jsonl')
    }


def test_objects_become_files_of_their_sources_as_old_as_they_are(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/ga4_events_20251001.csv', b'one')
    bucket.put('cms_articles/all.csv.gz', b'')
    bucket.put('NetworkImpressions_12_20251001_00.gz', b'whose it is, its name says')
    bucket.put('gam_delivery.csv', b'this one, too')
    bucket.put('ga4_events/', b'')  # what a console makes of an empty folder
    for name in (
        'README.md',
        'events.csv',
        'ga4_events/_SUCCESS',
        'ga4_events/.hidden.csv',
        'other/ga4_events_20251001.csv',
    ):
        bucket.put(name, b'no delivery')
    found = fetch(tmp_path, bucket)
    assert tree(tmp_path) == {
        'ga4_events/ga4_events_20251001.csv': b'one',
        'cms_articles/all.csv.gz': b'',
        'gam_delivery/NetworkImpressions_12_20251001_00.gz': b'whose it is, its name says',
        'gam_delivery/gam_delivery.csv': b'this one, too',
    }
    assert (found.refused, found.left) == ([], 4)  # README.md, events.csv, _SUCCESS and .hidden.csv
    assert (tmp_path / 'cms_articles/all.csv.gz').stat().st_mtime == CREATED.replace(minute=1).timestamp()


def test_days_choose_what_a_load_of_them_looks_at(tmp_path: Path, bucket: Bucket) -> None:
    for day in range(1, 9):
        bucket.put(f'ga4_events/ga4_events_2025100{day}.csv', b'x')
    bucket.put('ga4_events/undated.csv', b'x')
    found = plan(tmp_path, bucket, days=Window(date(2025, 10, 2), date(2025, 10, 3)))
    # 2 and 3, and the files of the three days behind, which may hold late rows of them
    days = {f'ga4_events_2025100{day}.csv' for day in range(2, 7)}
    assert {each.delivery.name for each in found.waiting} == days | {'undated.csv'}


def test_an_object_is_copied_again_only_when_it_is_another_one(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'one')
    bucket.put('ga4_events/b.csv', b'two')
    fetch(tmp_path, bucket)
    assert fetch(tmp_path, bucket).unchanged == 2
    bucket.put('ga4_events/b.csv', b'six', generation=2)  # as many bytes
    assert fetch(tmp_path, bucket).unchanged == 1
    assert [name for name, _ in bucket.read] == ['ga4_events/a.csv', 'ga4_events/b.csv', 'ga4_events/b.csv']
    assert (tmp_path / 'ga4_events/b.csv').read_bytes() == b'six'


def test_a_copy_that_was_touched_or_deleted_is_still_ours(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'one')
    fetch(tmp_path, bucket)
    (tmp_path / 'ga4_events/a.csv').touch()
    assert fetch(tmp_path, bucket).unchanged == 1
    bucket.put('ga4_events/a.csv', b'three', generation=2)
    fetch(tmp_path, bucket)
    assert tree(tmp_path) == {'ga4_events/a.csv': b'three'}
    (tmp_path / 'ga4_events/a.csv').unlink()
    fetch(tmp_path, bucket)
    assert tree(tmp_path) == {'ga4_events/a.csv': b'three'}


@pytest.mark.parametrize('whose', ['somebody', 'changed by somebody', 'another bucket', 'a folder', 'a link'])
def test_what_somebody_else_put_there_is_not_replaced(tmp_path: Path, bucket: Bucket, whose: str) -> None:
    landing, file, outside = tmp_path / 'zone', tmp_path / 'zone/ga4_events/a.csv', tmp_path / 'outside.csv'
    outside.write_bytes(b'mine')
    file.parent.mkdir(parents=True)
    said = 'the file there is none that fetch files has written'
    if whose == 'a folder':
        file.mkdir()
        said = 'no file that can be read'
    elif whose == 'a link':
        file.symlink_to(outside)
        said = 'no file that can be read'
    elif whose == 'another bucket':
        other = Bucket('other')
        other.put('ga4_events/a.csv', b'mine')
        fetch(landing, other)
        said = 'the file there is a copy of gs://other/ga4_events/a.csv'
    elif whose == 'changed by somebody':
        bucket.put('ga4_events/a.csv', b'wine')
        fetch(landing, bucket)
    if whose in ('somebody', 'changed by somebody'):
        file.write_bytes(b'mine')
    before = tree(landing)
    bucket.put('ga4_events/a.csv', b'theirs', generation=2)
    bucket.put('ga4_events/b.csv', b'other')
    found = fetch(landing, bucket)
    assert len(found.refused) == 1
    assert said in found.refused[0]
    assert tree(landing) == before | {'ga4_events/b.csv': b'other'}
    assert outside.read_bytes() == b'mine'


def test_a_file_that_is_as_its_object_is_unchanged_whoever_put_it_there(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'one')
    (tmp_path / 'ga4_events').mkdir()
    (tmp_path / 'ga4_events/a.csv').write_bytes(b'one')
    assert fetch(tmp_path, bucket).unchanged == 1
    bucket.put('ga4_events/a.csv', b'two', generation=2)
    assert len(fetch(tmp_path, bucket).refused) == 1
    assert tree(tmp_path) == {'ga4_events/a.csv': b'one'}


def test_what_is_broken_off_goes_on_in_the_middle_of_the_file(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'0123456789')
    bucket.breaks_at = 8
    with pytest.raises(FetchError, match='the line is cut'):
        fetch(tmp_path, bucket)
    assert tree(tmp_path) == {'ga4_events/.1.fetch.part': b'01234567'}  # hidden: no delivery
    bucket.breaks_at = None
    fetch(tmp_path, bucket)
    assert bucket.read == [('ga4_events/a.csv', 0), ('ga4_events/a.csv', 8)]
    assert tree(tmp_path) == {'ga4_events/a.csv': b'0123456789'}


def test_what_was_begun_of_another_generation_goes(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'0123456789')
    bucket.breaks_at = 8
    with pytest.raises(FetchError, match='the line is cut'):
        fetch(tmp_path, bucket)
    bucket.put('ga4_events/a.csv', b'abc', generation=2)
    fetch(tmp_path, bucket)
    assert tree(tmp_path) == {'ga4_events/a.csv': b'abc'}


def test_other_bytes_than_the_object_has_are_not_kept(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'0123456789')
    bucket.lies = True
    with pytest.raises(FetchError, match='came with other bytes than it has'):
        fetch(tmp_path, bucket)
    assert tree(tmp_path) == {}
    bucket.lies = False
    fetch(tmp_path, bucket)
    assert tree(tmp_path) == {'ga4_events/a.csv': b'0123456789'}


def test_killed_before_a_newer_copy_takes_its_name_the_next_call_gives_it(
    tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put('ga4_events/a.csv', b'one')
    fetch(tmp_path, bucket)
    bucket.put('ga4_events/a.csv', b'two', generation=2)
    with monkeypatch.context() as patched:
        patched.setattr(os, 'rename', killed)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path, bucket)
    assert tree(tmp_path) == {'ga4_events/a.csv': b'one', 'ga4_events/.2.fetch.part': b'two'}
    fetch(tmp_path, bucket)
    assert tree(tmp_path) == {'ga4_events/a.csv': b'two'}  # as many bytes
    assert bucket.read[-1] == ('ga4_events/a.csv', 3)  # all of it was there


def test_a_line_that_was_broken_off_takes_no_other_with_it(tmp_path: Path, bucket: Bucket) -> None:
    (tmp_path / '.fetched.jsonl').write_bytes(b'\xff\x00\n[]\n{"file": 1}\n{"file": "ga4_ev')
    for generation in (1, 2, 3):
        bucket.put('ga4_events/a.csv', b'x' * generation, generation=generation)
        assert fetch(tmp_path, bucket).refused == []
    assert tree(tmp_path) == {'ga4_events/a.csv': b'xxx'}


@pytest.mark.parametrize(
    ('name', 'reason'),
    [
        ('ga4_events/..', 'no name of a file'),
        ('ga4_events/../../outside.csv', 'a folder in the folder of a source'),
        ('ga4_events//etc/passwd.csv', 'a folder in the folder of a source'),
        ('ga4_events/2025/ga4_events_20251001.csv', 'a folder in the folder of a source'),
        ('ga4_events/\x1b]0;title\x07.csv', 'its name holds characters that cannot be shown'),
        ('ga4_events/a\nb.csv', 'its name holds characters that cannot be shown'),
        ('ga4_events/\u202evsc.csv', 'its name holds characters that cannot be shown'),
        (f'ga4_events/{"é" * 126}.csv', 'its name has more than 255 bytes'),  # 256
        ('ga4_events/', 'no name of a file'),  # with bytes
        ('ga4_events_20251001\x00.csv', 'its name holds characters that cannot be shown'),
    ],
)
def test_a_name_that_no_file_may_have_is_refused_in_a_line(tmp_path: Path, bucket: Bucket, name: str, reason: str) -> None:
    landing = tmp_path / 'zone'
    landing.mkdir()
    bucket.put(name, b'evil')
    (line,) = fetch(landing, bucket).refused
    assert line.startswith('gs://shop/ga4_events')
    assert line.endswith(f' is not copied: {reason}')
    assert line.isprintable()
    assert len(line) < 200
    assert [path.name for path in tmp_path.rglob('*')] == ['zone']


def test_names_that_are_one_file_elsewhere_are_refused_both(tmp_path: Path, bucket: Bucket) -> None:
    names = ('a.csv', 'A.csv', 'caf\u00e9.csv', 'cafe\u0301.csv', 'ga4_events.csv')
    for name in names:
        bucket.put(f'ga4_events/{name}', name.encode())
    bucket.put('ga4_events.csv', b'the same file as that in the folder')
    bucket.put('ga4_events/sealed.csv', b'x', checksum=False)
    found = fetch(tmp_path, bucket)
    assert tree(tmp_path) == {}
    assert sum(line.endswith('would be the same file') for line in found.refused) == 6
    assert sum('it has no checksum' in line for line in found.refused) == 1


@pytest.mark.parametrize('place', ['ga4_events', 'ga4_events/.1.fetch.part', '.fetch.lock', '.fetched.jsonl'])
def test_nothing_is_written_through_a_link(tmp_path: Path, bucket: Bucket, place: str) -> None:
    landing, outside = tmp_path / 'zone', tmp_path / 'outside'
    (landing / place).parent.mkdir(parents=True, exist_ok=True)
    if place == 'ga4_events':
        outside.mkdir()
    else:
        outside.write_bytes(b'mine')
    (landing / place).symlink_to(outside)
    bucket.put('ga4_events/a.csv', b'one')
    try:
        fetch(landing, bucket)
    except (FetchError, UsageError, LandingError):
        assert place != 'ga4_events/.1.fetch.part'  # which makes way
    assert (list(outside.iterdir()) == []) if outside.is_dir() else (outside.read_bytes() == b'mine')


def test_what_was_begun_and_is_a_file_elsewhere_as_well_is_begun_anew(tmp_path: Path, bucket: Bucket) -> None:
    outside, part = tmp_path / 'outside', tmp_path / 'ga4_events/.1.fetch.part'
    outside.write_bytes(b'mine')
    part.parent.mkdir()
    part.hardlink_to(outside)
    bucket.put('ga4_events/a.csv', b'one')
    fetch(tmp_path, bucket)
    assert (outside.read_bytes(), (tmp_path / 'ga4_events/a.csv').read_bytes()) == (b'mine', b'one')


def test_more_bytes_than_allowed_are_not_read(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'0123456789')
    with pytest.raises(FetchError, match='1 file of 10 bytes would be read, 9 may be'):
        fetch(tmp_path, bucket, max_bytes=9)
    assert bucket.read == []
    fetch(tmp_path, bucket, max_bytes=10)


def test_more_bytes_than_are_free_are_not_read(tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put('ga4_events/a.csv', b'0123456789')
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: SimpleNamespace(free=9))
    with pytest.raises(FetchError, match='1 file of 10 bytes would be written, 9 are free'):
        fetch(tmp_path, bucket)
    assert (bucket.read, tree(tmp_path)) == ([], {})


def test_what_another_call_has_fetched_since_is_not_read_again(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'one')
    before = plan(tmp_path, bucket)
    fetch(tmp_path, bucket)
    with pytest.raises(FetchError, match='was written by somebody else meanwhile'):
        files.fetch(tmp_path, before, 1_000, silent)
    assert len(bucket.read) == 1


def test_one_fetch_at_a_time_works_in_a_landing_zone(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'one')
    with alone(tmp_path), pytest.raises(FetchError, match='another fetch is at work'):
        fetch(tmp_path, bucket)
    fetch(tmp_path, bucket)


def test_a_file_whose_object_is_gone_stays_and_is_told(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('ga4_events/a.csv', b'one')
    bucket.put('ga4_events/b.csv', b'two')
    fetch(tmp_path, bucket)
    del bucket.objects['ga4_events/a.csv']
    assert fetch(tmp_path, bucket).gone == ['ga4_events/a.csv']
    assert (tmp_path / 'ga4_events/a.csv').read_bytes() == b'one'


def test_a_bucket_without_deliveries_is_told(tmp_path: Path, bucket: Bucket) -> None:
    bucket.put('landing/ga4_events/a.csv', b'one')
    with pytest.raises(FetchError, match='no deliveries in gs://shop/: KLY_BUCKET is gs://BUCKET/PREFIX'):
        fetch(tmp_path, bucket)
