"""Secrets kept out of what is said: of messages, logs and alerts."""

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote

from kly_mage.common.errors import SettingsError
from kly_mage.common.settings import environment

_SECRET_NAME = re.compile(r'PASSWORD|SECRET|TOKEN|WEBHOOK|API_KEY|PRIVATE|CREDENTIAL|CONNECTION_URL')
_IN_URL = re.compile(r'(\w+://[^\s:/@]*):[^\s@]+@')
_ASSIGNED = re.compile(  # \b first: a long word is then looked at once, not from each of its letters
    r'(?i)\b(\w*(?:password|passwd|pwd|secret|token|api_?key)\w*["\']?)(\s*[=:]\s*)(\'[^\']*\'|"[^"]*"|\S+)'
)


def redacted(text: str) -> str:
    """The text with every secret this process knows, and whatever looks like one, replaced."""
    for name, value in given().items():
        if _SECRET_NAME.search(name) and len(value) >= 4:
            for spelling in {value, unquote(value)}:
                text = text.replace(spelling, '***')
    return _ASSIGNED.sub(r'\1\2***', _IN_URL.sub(r'\1:***@', text))


def given() -> Mapping[str, str]:
    """What is set; the environment alone if ``.env`` cannot be read, which may be why the run has failed."""
    try:
        return environment()
    except SettingsError:
        return os.environ
