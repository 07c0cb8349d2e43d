"""PostgreSQL's own hash of a uuid, worked out here: the same as the server's."""

import random
import uuid

import polars as pl

from kly_mage.rows import rowhash
from kly_mage.warehouse.postgres.uuid_hash import uuid_hash
from tests.gold import Query


def test_each_hash_is_that_of_the_server(query: Query) -> None:
    chance = random.Random(20251001)
    values = [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), *(uuid.UUID(int=chance.getrandbits(128)) for _ in range(500))]
    ours = uuid_hash(*rowhash.halves(pl.Series([value.hex for value in values])))
    theirs = query(
        'select uuid_hash_extended(value::uuid, 0) from unnest(%s) with ordinality as given (value, n) order by n',
        [str(value) for value in values],
    )
    assert ours.to_list() == [number % 2**64 for (number,) in theirs]


def test_halves_of_hashes_give_what_is_stored() -> None:
    text = pl.Series('_hashrow', ['20251031' + '0123456789abcdef01234567', 'f' * 32])
    assert rowhash.of_halves(*rowhash.halves(text)).to_list() == rowhash.stored(text).to_list()
