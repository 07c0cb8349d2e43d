"""Mage's server as a container runs it: ``python -m kly_mage.mage.container``.

In the foreground, with the environment that ``make editor`` gives it: the same owner, kernel, masks and own database.
"""

import os
import sys
from typing import NoReturn

from kly_mage.common.errors import EditorError, KlyError
from kly_mage.common.settings import VARIABLES, load_settings
from kly_mage.mage.editor import server_environment

NEEDED = ('POSTGRES_HOST', 'POSTGRES_PASSWORD', 'MAGE_OWNER_PASSWORD', 'MAGE_JWT_SECRET')


def main() -> NoReturn:
    """Become the server. It listens on every address; which of them is reached from outside is the container's affair.

    Raises:
        EditorError: a setting is missing that cannot be made up here, or Mage's own database cannot be reached.
    """
    settings = load_settings()
    if missing := [name for name in NEEDED if not getattr(settings, VARIABLES[name])]:
        raise EditorError(f'{", ".join(missing)} must be set: see .env.example')
    server = [sys.executable, '-m', 'kly_mage.mage.server', '0.0.0.0', str(settings.editor_port)]  # noqa: S104
    os.execve(sys.executable, server, server_environment(settings))  # noqa: S606 - our own module


if __name__ == '__main__':
    try:
        main()
    except KlyError as error:
        sys.exit(str(error))
