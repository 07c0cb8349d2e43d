"""Foreign text made fit to be shown: titles, file names, values and whatever else others wrote."""

from unicodedata import category


def printable(text: str, limit: int | None = None) -> str:
    """The text with everything a terminal would obey, or a reader would not see, spelled out.

    Control characters (C0, DEL, C1: escape sequences begin with them), line breaks, bidi overrides and isolates,
    zero-width characters and lone surrogates become ``\\x1b`` or ``\\u202e``, as in a Python literal. So a text is always
    one line, shows what it holds in the order it holds it, and can be encoded.

    Args:
        text: what somebody else wrote.
        limit: characters at most; a longer text is cut and ends in ``…``.
    """
    if limit is not None and len(text) > limit:
        text = text[:limit] + '…'  # first, so that a megabyte costs no more than what is shown of it
    if not text.isprintable():
        text = ''.join(c if c.isprintable() or category(c) == 'Zs' else _spelled(c) for c in text)
    if limit is not None and len(text) > limit:
        text = text[: limit - 1] + '…'
    return text


def counted(count: int, word: str, words: str | None = None) -> str:
    """A number and what it counts: ``1 row``, ``2,000 rows``.

    Args:
        word: for one.
        words: for any other number, where an s behind ``word`` does not do: ``counted(2, 'row is', 'rows are')``.
    """
    return f'1 {word}' if count == 1 else f'{count:,} {words or word + "s"}'


def _spelled(character: str) -> str:
    return character.encode('unicode_escape').decode('ascii')
