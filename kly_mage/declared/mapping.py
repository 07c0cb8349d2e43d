"""How the files of somebody else become rows of a source: a publisher's own column names, units, signs, dates and zones.

A mapping says, for declared columns, where each comes from in the file. Columns of the file that no mapping mentions stay
what they are: declared ones under their own names, others undeclared.

The library of these models takes 0.05 s to import, and most runs have no mapping: who only names a type here does so for the
type checker, and who makes a mapping imports this module then.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from kly_mage.common.settings import time_zone
from kly_mage.declared import currency
from kly_mage.declared.units import EPOCHS, Thousands

_Names = Annotated[
    tuple[Annotated[str, Field(pattern='^[A-Z0-9_]+$')], ...],
    BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given),
]

_STRICT = ConfigDict(frozen=True, extra='forbid', strict=True, defer_build=True)  # most runs need none


def _date(form: str) -> str:
    if form not in EPOCHS and not (any(day in form for day in ('%d', '%e', '%F', '%D', '%j')) or '%s' in form):
        raise ValueError(f'is no format of a date: it needs %d, %m and %Y, or is one of {", ".join(EPOCHS)}')
    return form


def _short(given: object) -> object:
    return {'from': given} if isinstance(given, str) else given


class ColumnMapping(BaseModel):
    """Where one declared column comes from. What the file has is taken apart in the order of these fields.

    Attributes:
        from_: the file's column. Without one there has to be a constant.
        constant: the value of every row.
        match: a regular expression with one group, which is the value; where it does not match, the value is missing.
        key: the value of this key, where the file has ``key=value``. Reports repeat an impression once per key, so a row
            of another key refuses the file.
        date: the format of a date or time, with the letters of ``strftime``; or ``epoch_seconds``, ``epoch_millis``,
            ``epoch_micros``: a whole number since 1970, which is an instant.
        unit: of an amount of money that is a whole number: ``micros`` are millionths, ``cents`` hundredths.
        currency: of the amount, if it is not US dollars: it is changed by the rate of the row's day.
        currency_from: the file's column that holds each amount's currency.
    """

    model_config = _STRICT

    from_: Annotated[str | None, Field(alias='from', min_length=1)] = None
    constant: str | None = None
    match: str | None = None
    key: Annotated[str | None, Field(pattern='^[A-Za-z0-9_.-]+$')] = None
    date: Annotated[str, AfterValidator(_date)] | None = None
    unit: Literal['micros', 'cents'] | None = None
    currency: Annotated[str | None, Field(pattern='^[A-Z]{3}$')] = None
    currency_from: Annotated[str | None, Field(min_length=1)] = None

    @model_validator(mode='after')
    def _one_origin(self) -> Self:
        if (self.from_ is None) == (self.constant is None):
            raise ValueError('needs either from, a column of the file, or a constant')
        if self.constant is not None and (self.match or self.key or self.date or self.unit):
            raise ValueError('is a constant: match, key, date and unit are for what comes from the file')
        if self.currency and self.currency_from:
            raise ValueError('has two currencies: currency is for all rows, currency_from a column of the file')
        return self


def _other_currency(origin: str, column: ColumnMapping, rates: str) -> str | None:
    """What is wrong with the currency of a column whose name gives one; None if nothing is."""
    named = currency.named_in(origin)
    if named is None or column.currency_from or named == (column.currency or currency.DOLLARS):
        return None
    if column.currency and not named.isalpha():  # a sign that several have
        return None
    if column.currency:
        return f'{origin!r} is in {named}, and the mapping says {column.currency}'
    return f"{origin!r} is not in US dollars: say its currency = '{named}' in landing.toml, with its rates in {rates}"


class Mapping(BaseModel):
    """The mapping of some files of one source.

    Attributes:
        source: whose files.
        files: which of them, a pattern over the name without its folder: ``report_*.csv``.
        zone: where timestamps without offset are local; without it, where the warehouse's days are days.
        decimal: the sign between units and fractions in the file's numbers.
        thousands: the sign between groups of three digits, if there may be one.
        ignore: columns of the file that are not kept.
        total: the word that the last line of a report begins with, which holds the sums of all rows; '' for a report without
            that line. Of a report the signs of numbers and the order of dates are found by looking, and ``-`` is none.
        dimensions: of rows of Ad Manager's REST API that name no columns: those of the report's definition, in its order.
        metrics: likewise.
        ecpm_limit: money for 1,000 impressions over a whole file, beyond which it is refused, if not the source's own bound.
        rates: the file in the landing zone with the rates of currencies.
        columns: by the name of the declared column.
    """

    model_config = _STRICT

    source: str
    files: Annotated[str, Field(min_length=1)] = '*'
    zone: Annotated[str, AfterValidator(time_zone)] | None = None
    decimal: Literal['.', ','] = '.'
    thousands: Thousands | None = None
    ignore: Annotated[
        frozenset[str], BeforeValidator(lambda given: frozenset(given) if isinstance(given, list) else given)
    ] = frozenset()
    total: str | None = None
    dimensions: _Names = ()
    metrics: _Names = ()
    ecpm_limit: Annotated[int | None, Field(ge=1)] = None
    rates: Annotated[str, Field(min_length=1)] = 'fx_rates.csv'
    columns: dict[str, Annotated[ColumnMapping, BeforeValidator(_short)]] = {}

    @model_validator(mode='after')
    def _signs_differ(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError('decimal and thousands are the same sign')
        return self

    def is_whole(self, needed: Iterable[str]) -> bool:
        """Whether it says for all these columns where they come from."""
        return set(needed) <= self.columns.keys()

    @property
    def taken(self) -> frozenset[str]:
        """The columns of the file that declared ones come from."""
        origins = ((column.from_, column.currency_from) for column in self.columns.values())
        return frozenset(name for pair in origins for name in pair if name is not None)

    def names(self, header: list[str]) -> list[str]:
        """The columns of a frame whose file has those of ``header``, in their order, mapped ones at the end."""
        return [name for name in header if name not in self.taken | self.ignore | self.columns.keys()] + list(self.columns)

    def problem(self, header: list[str]) -> str | None:
        """Why a file with these columns cannot be mapped, in a few words; None if it can."""
        for name, column in self.columns.items():
            if column.from_ and (wrong := _other_currency(column.from_, column, self.rates)):
                return wrong
            for origin in (column.from_, column.currency_from):
                if origin is not None and origin not in header:
                    return f'there is no column {origin!r}, from which {name} comes'
        hidden = sorted(name for name in self.columns if name in header and name not in self.taken | self.ignore)
        if hidden:
            return f'{hidden[0]} is a column of the file and mapped from another: ignore one of them'
        return None
