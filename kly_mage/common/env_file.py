"""The ``.env`` file, by the rules of python-dotenv and docker compose.

A value stands there as it is, or in single quotes, which it needs if it begins with a quote, ends in spaces or holds `` #``;
compose alone replaces ``$NAME`` outside of them, so a value with ``$`` belongs into single quotes, too.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kly_mage.common.errors import SettingsError

if TYPE_CHECKING:
    from dotenv.parser import Binding

_PLAIN = re.compile(r'[A-Za-z0-9_./:@%+-]+')


def read(path: Path) -> dict[str, str]:
    """The values by name, as written: nothing in them is replaced. Empty if there is no file.

    Raises:
        SettingsError: the file cannot be read, or a line of it is none; the line itself is not told, it may hold a secret.
    """
    values = {}
    for binding in _bindings(path):
        if binding.error:
            text = binding.original.string
            line = binding.original.line + text[: len(text) - len(text.lstrip())].count('\n')
            raise SettingsError(
                f'{path}, line {line} is no NAME=value: put the value in single quotes, with \\ before those in it'
            )
        if binding.key and binding.value is not None:
            values[binding.key] = binding.value
    return values


def write(path: Path, values: dict[str, str]) -> None:
    """Set these values and keep the rest as it stands; the file is its owner's only and is replaced at once.

    Raises:
        SettingsError: the file cannot be read or written.
    """
    if path.exists() and not path.is_file():  # /dev/null, which root could replace
        raise SettingsError(f'{path} is no file: set KLY_ENV_FILE to one that can be written')
    kept = ''.join(binding.original.string for binding in _bindings(path) if binding.key not in values)
    if kept and not kept.endswith('\n'):
        kept += '\n'
    target = path.resolve()
    new = target.with_name(f'{target.name}.{os.getpid()}')
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, 'w', encoding='utf-8', newline='') as file:
            file.write(kept + ''.join(f'{name}={_quoted(value)}\n' for name, value in values.items()))
        new.replace(target)
    except OSError as error:
        raise SettingsError(f'{path} cannot be written ({error.strerror}): set KLY_ENV_FILE to a file that can') from error


def _bindings(path: Path) -> list[Binding]:
    try:
        text = path.read_bytes().decode('utf-8')
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise SettingsError(f'{path} is not UTF-8 (byte {error.start}): save it as UTF-8') from None
    except OSError as error:
        raise SettingsError(f'{path} cannot be read ({error.strerror}): make it readable, or set KLY_ENV_FILE') from error
    if not text:
        return []
    from dotenv.parser import parse_stream  # only who has such a file pays for its import

    return list(parse_stream(io.StringIO(text, newline='')))


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else "'" + value.replace('\\', '\\\\').replace("'", "\\'") + "'"
