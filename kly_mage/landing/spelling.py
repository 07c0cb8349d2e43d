"""How a report spells numbers and dates, found from what stands in it; what may be read in two ways is no finding."""

from collections.abc import Iterable

import polars as pl

from kly_mage.common.errors import LandingError
from kly_mage.common.text import printable
from kly_mage.declared.units import THOUSANDS
from kly_mage.landing.files import LandingFile

_EXAMPLE = 30  # characters of a value in a message

# Decimal sign, sign of thousands: the usual pairs first.
_PAIRS = [('.', ','), (',', '.'), *((d, t) for t in THOUSANDS if t not in '.,' for d in ',.')]

# A date's parts. Where the year stands first, or points or a month's name between them, everybody has one order.
_ORDERED = (
    '^(?P<y>[0-9]{4})[-/.](?P<m>[0-9]{1,2})[-/.](?P<d>[0-9]{1,2})$',
    r'^(?P<d>[0-9]{1,2})\.\s?(?P<m>[0-9]{1,2})\.\s?(?P<y>[0-9]{2}|[0-9]{4})$',
    r'^(?P<d>[0-9]{1,2})\.?\s(?:de\s)?(?P<m>\p{L}+)\.?,?\s(?:de\s)?(?P<y>[0-9]{4})$',
    r'^(?P<m>\p{L}+)\.?\s(?P<d>[0-9]{1,2}),?\s(?P<y>[0-9]{4})$',
)
_DAY_FIRST = '^(?P<d>[0-9]{1,2})[-/](?P<m>[0-9]{1,2})[-/](?P<y>[0-9]{2}|[0-9]{4})$'
_MONTH_FIRST = '^(?P<m>[0-9]{1,2})[-/](?P<d>[0-9]{1,2})[-/](?P<y>[0-9]{2}|[0-9]{4})$'

# How names of months begin in English, German, Indonesian, Malay, Spanish, French, Italian, Portuguese and Dutch.
_MONTHS = (
    'jan ene gen',
    'feb fév fev peb',
    'mar mär mrz mrt maa mac',
    'apr abr avr',
    'may mai mei maj mag',
    'jun juin giu',
    'jul juil lug',
    'aug aou aoû ago agu agt ogo',
    'sep set',
    'oct okt ott out',
    'nov nop',
    'dec dez des dic déc dis',
)
_MONTH_OF = {begins: f'{number:02}' for number, names in enumerate(_MONTHS, 1) for begins in names.split()}


class Numbers:
    """Which signs stand between units and fractions, and between thousands."""

    def __init__(self) -> None:
        self._pairs = list(_PAIRS)
        self._marks: set[str] = set()
        self._example = ''

    def see(self, counts: Iterable[pl.Series], money: Iterable[pl.Series]) -> None:
        """Look at some values; those that are numbers in no spelling say nothing."""
        for values, fraction in ((counts, ''), (money, '(?:{}[0-9]+)?')):
            for texts in values:
                self._see(texts.unique(), fraction)

    @property
    def are_known(self) -> bool:
        """Whether further values cannot change what was found."""
        return len({decimal for decimal, _ in self._pairs}) == 1 and bool(self._marks & {t for _, t in self._pairs})

    def signs(self, file: LandingFile) -> dict[str, str]:
        """``decimal`` and ``thousands``.

        Raises:
            LandingError: values may be read in two ways, or no pair of signs fits all.
        """
        if not self._pairs:
            raise LandingError(
                f'{file.name}: its numbers have no common decimal sign (one is {self._example!r}): export it in one spelling'
            )
        if len({decimal for decimal, _ in self._pairs}) > 1 and self._marks & {'.', ','}:
            raise LandingError(
                f'{file.name}: numbers like {self._example!r} may be thousands or fractions: say which by '
                'decimal and thousands in landing.toml'
            )
        decimal, thousands = self._pairs[0]
        return {'decimal': decimal, 'thousands': thousands}

    def _see(self, texts: pl.Series, fraction: str) -> None:
        marked = texts.filter(texts.str.contains(r'^-?[0-9].*[^0-9]'))
        fits = {
            (decimal, thousands): marked.str.contains(
                f'^-?(?:[0-9]{{1,3}}(?:[{thousands}][0-9]{{3}})+|[0-9]+){fraction.format(f"[{decimal}]")}$'
            )
            for decimal, thousands in _PAIRS
        }
        some = pl.DataFrame([fit.alias(str(n)) for n, fit in enumerate(fits.values())]).select(pl.any_horizontal(pl.all()))
        numbers = some.to_series()
        if not numbers.any():
            return
        said = marked.filter(numbers)
        self._example = printable(said[0], _EXAMPLE)
        self._pairs = [pair for pair in self._pairs if fits[pair].filter(numbers).all()]
        self._marks |= {mark for mark in {m for pair in _PAIRS for m in pair} if said.str.contains(mark, literal=True).any()}


class Dates:
    """In which order day, month and year stand."""

    def __init__(self) -> None:
        self._alive = [*_ORDERED, _DAY_FIRST, _MONTH_FIRST]
        self._example = ''

    def see(self, texts: pl.Series) -> None:
        """Look at some values; those that are dates in no order say nothing."""
        texts = texts.drop_nulls().unique()
        fits = {shape: _iso(texts, shape).is_not_null() for shape in [*_ORDERED, _DAY_FIRST, _MONTH_FIRST]}
        some = pl.DataFrame([fit.alias(str(n)) for n, fit in enumerate(fits.values())]).select(pl.any_horizontal(pl.all()))
        dates = some.to_series()
        if dates.any():
            self._example = printable(texts.filter(dates)[0], _EXAMPLE)
            self._alive = [shape for shape in self._alive if fits[shape].filter(dates).all()]
        elif not self._example and len(texts):
            self._example = printable(texts[0], _EXAMPLE)

    @property
    def is_known(self) -> bool:
        """Whether further values cannot change what was found."""
        return len(self._alive) < 2

    def order(self, file: LandingFile) -> str | None:
        """The order, for ``as_iso``; None if there are no dates.

        Raises:
            LandingError: dates may be read in two ways, or in none.
        """
        if len(self._alive) == 1:
            return self._alive[0]
        if not self._example:
            return None
        if set(self._alive) == {_DAY_FIRST, _MONTH_FIRST}:
            reason = 'may have the day or the month first, and no date in the file tells'
        else:
            reason = 'are in no order that is known' if self._alive else 'are in more than one order'
        raise LandingError(
            f"{file.name}: dates like {self._example!r} {reason}: say date = '%m/%d/%y' or the like of their column in "
            'landing.toml'
        )


def as_iso(texts: pl.Series, order: str) -> pl.Series:
    """Dates of that order as ISO 8601; what is none stays as it is."""
    return pl.select(pl.coalesce(_iso(texts, order), texts)).to_series().alias(texts.name)


def _iso(texts: pl.Series, order: str) -> pl.Series:
    """ISO 8601 texts of days that the calendar has; null for all others."""
    parts = pl.DataFrame({'date': texts.str.strip_chars()}).select(pl.col('date').str.extract_groups(order)).unnest('date')
    year, month = pl.col('y'), pl.col('m').str.to_lowercase()
    named = [month.str.head(size).replace_strict(_MONTH_OF, default=None, return_dtype=pl.String) for size in (4, 3)]
    iso = pl.concat_str(
        pl.when(year.str.len_bytes() == 2).then('20' + year).otherwise(year),
        pl.coalesce(*named, month.str.zfill(2)),
        pl.col('d').str.zfill(2),
        separator='-',
    )
    return parts.select(iso.str.to_date('%Y-%m-%d', strict=False).dt.to_string('%Y-%m-%d')).to_series()
