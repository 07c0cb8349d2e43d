"""Which currency the name of a column gives, as ``Revenue (€)`` does."""

import re
from unicodedata import category

DOLLARS = 'USD'
_SIGNS = {
    'USD': ('$', 'US$'),
    'EUR': ('€',),
    'GBP': ('£',),
    'IDR': ('Rp',),
    'INR': ('₹',),
    'BRL': ('R$',),
    'AUD': ('A$', 'AU$'),
    'CAD': ('CA$', 'C$'),
    'SGD': ('S$', 'SG$'),
    'MYR': ('RM',),
    'PHP': ('₱',),
    'THB': ('฿',),
    'VND': ('₫',),
    'KRW': ('₩',),
    'PLN': ('zł',),
}
_OF = {sign: code for code, signs in _SIGNS.items() for sign in signs}
_OF_MANY = {'kr', 'kr.', '¥'}  # of several countries


def named_in(column: str) -> str | None:
    """The currency in brackets at the end of a column's name: its code, or a sign that several have; None if none is."""
    found = re.search(r'\(([^()]{1,4})\)\s*$', column)
    if not found:
        return None
    sign = found[1].strip()
    if sign in _OF:
        return _OF[sign]
    is_money = sign in _OF_MANY or re.fullmatch('[A-Z]{3}', sign) or any(category(c) == 'Sc' for c in sign)
    return sign if is_money else None


def signs(code: str | None) -> tuple[str, ...]:
    """How amounts in a currency are marked; None stands for dollars."""
    return (*sorted(_SIGNS.get(code or DOLLARS, ()), key=len, reverse=True), code or DOLLARS)


def without(column: str) -> str:
    """A column's name without the currency in it."""
    return column if named_in(column) is None else column[: column.rindex('(')].rstrip()


def option(name: str, column: str | None) -> dict[str, dict[str, str]]:
    """What a mapping says of the declared ``name`` that comes from this column: its currency, if its name gives one."""
    code = named_in(column) if column else None
    return {name: {'currency': code}} if code and re.fullmatch('[A-Z]{3}', code) and code != DOLLARS else {}
