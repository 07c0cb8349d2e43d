"""The text of ``landing.toml`` as mappings: written by people, so what is wrong with it is said with line and column."""

import re
import tomllib
from functools import lru_cache

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.declared import SOURCES
from kly_mage.declared.mapping import Mapping


class _File(BaseModel):
    model_config = ConfigDict(extra='forbid', strict=True, defer_build=True)
    mapping: list[Mapping] = Field(default_factory=list)


@lru_cache(maxsize=8)
def read(text: str, name: str) -> tuple[Mapping, ...]:
    """All mappings of a text.

    Args:
        name: of the file, for errors.

    Raises:
        LandingError: it is no TOML, or says what no mapping may say.
    """
    try:
        given = _File.model_validate(tomllib.loads(text)).mapping
    except tomllib.TOMLDecodeError as error:
        raise LandingError(f'{name}: {printable(str(error), 200)}') from None
    except ValidationError as error:
        first = error.errors()[0]
        raise LandingError(_told(name, text, first['loc'], first['msg'].removeprefix('Value error, '))) from None
    for number, mapping in enumerate(given):
        if wrong := _wrong(mapping):
            loc, reason = wrong
            raise LandingError(_told(name, text, ('mapping', number, *loc), reason))
    return tuple(given)


def _wrong(mapping: Mapping) -> tuple[tuple[str, ...], str] | None:
    """What only the declarations and the engine of regular expressions can say of a mapping."""
    if mapping.source not in SOURCES:
        return ('source',), f'{mapping.source} is no source; there are {", ".join(SOURCES)}'
    source = SOURCES[mapping.source]
    if mapping.ecpm_limit and source.plausible is None:
        return ('ecpm_limit',), f'{source.name} has no bound of that kind'
    for name, column in mapping.columns.items():
        if name not in source.names:
            return ('columns', name), f'{name} is no column of {source.name}; it has {", ".join(source.names)}'
        kind = source.column(name).kind
        fit = {'date': 'timestamp', 'unit': 'money', 'currency': 'money', 'currency_from': 'money'}
        for option, of in fit.items():
            if getattr(column, option) and kind != of:
                return ('columns', name, option), f'{name} is {kind}; {option} is for {of}'
        if column.match:
            try:
                groups = pl.Series(['']).str.extract_groups(column.match).struct.fields
            except pl.exceptions.ComputeError as error:
                return ('columns', name, 'match'), f'no regular expression: {printable(str(error).splitlines()[-1], 100)}'
            if len(groups) != 1 or groups == ['']:
                return ('columns', name, 'match'), 'needs one group in round brackets, which is the value'
    return None


def _told(name: str, text: str, loc: tuple[int | str, ...], reason: str) -> str:
    line, column = _place(text, loc)
    where = '.'.join(str(part) for part in loc if isinstance(part, str) and part != 'mapping')
    return printable(f'{name}: line {line}, column {column}: {where or "mapping"}: {reason}', 300)


def _place(text: str, loc: tuple[int | str, ...]) -> tuple[int, int]:
    """Line and column of the last part of ``loc`` that the text spells; tomllib does not keep them."""
    at = 0
    for part in loc:
        if isinstance(part, int):
            tables = [found.start() for found in re.finditer(r'(?m)^\s*\[\[\s*mapping\s*\]\]', text)]
            at = tables[part] if part < len(tables) else at
        elif part != 'mapping' and (found := re.search(rf'(?<![\w-])["\']?{re.escape(part)}["\']?\s*[=\].]', text[at:])):
            at += found.start()
    return text.count('\n', 0, at) + 1, at - text.rfind('\n', 0, at)
