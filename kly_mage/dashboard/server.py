"""Streamlit's server on this machine, guarded: nothing of it answers before ``guard`` has looked.

Not ``streamlit run``: its command line lets everybody in, and asks an outside service for this machine's address.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from kly_mage.common.errors import DashboardError, NotBuiltError
from kly_mage.common.settings import Settings
from kly_mage.dashboard.guard import TOKEN, Door, guard
from kly_mage.mage.hosts import own_hosts
from kly_mage.warehouse.choice import warehouse

HOST = '127.0.0.1'
MAIN = Path(__file__).with_name('main.py')
# Streamlit's own settings. Origins are checked by the guard, which is stricter and asks nobody outside for this address.
_OPTIONS: dict[str, Any] = {
    'server_headless': True,
    'server_enableCORS': False,
    'server_enableXsrfProtection': False,
    'server_enableStaticServing': False,
    'server_useStarlette': False,
    'server_runOnSave': True,  # who edits a page sees it at once
    'server_maxUploadSize': 1,
    'browser_gatherUsageStats': False,
    'client_toolbarMode': 'viewer',
    'client_showErrorDetails': 'none',
    'client_showErrorLinks': False,
    'theme_base': None,  # as the browser prefers it
    'theme_light_primaryColor': '#1f5fa8',
    'theme_light_linkColor': '#1f5fa8',
    'theme_light_backgroundColor': '#ffffff',
    'theme_light_secondaryBackgroundColor': '#f3f5f8',
    'theme_light_textColor': '#1c2430',
    'theme_dark_primaryColor': '#8ab8ee',
    'theme_dark_linkColor': '#8ab8ee',
    'theme_dark_backgroundColor': '#14181e',
    'theme_dark_secondaryBackgroundColor': '#1d232b',
    'theme_dark_textColor': '#e6eaf0',
    'theme_linkUnderline': True,
}


@dataclass(frozen=True)
class Addresses:
    """Where the dashboard is.

    Attributes:
        url: for who has the password.
        with_token: for this machine.
    """

    url: str
    with_token: str


def serve(settings: Settings, port: int, told: Callable[[Addresses], None], host: str = HOST) -> None:
    """Serve the pages until SIGINT, SIGTERM or SIGHUP.

    Args:
        settings: whose warehouse the pages show, which is started if need be.
        port: where it listens.
        told: hears where it is, once it answers.
        host: on which address it listens; another than this machine's own only inside a container.

    Raises:
        DashboardError: Streamlit is not installed, or the port is in use.
        KlyError: the warehouse cannot be reached, or ``KLY_EDITOR_HOSTS`` holds something that is no address.
    """
    try:
        from streamlit.runtime.pages_manager import PagesManager
        from streamlit.web import bootstrap
        from streamlit.web.server import Server
    except ImportError:
        raise DashboardError('Streamlit is not installed: `make dashboard` does it (requirements-dashboard.txt)') from None
    door = Door(
        own_hosts(port, settings.editor_hosts),
        settings.owner_password,
        secrets.token_urlsafe(24),
        f'kly_dashboard_{port}',
        settings.jwt_secret
        or secrets.token_urlsafe(),  # where no editor has made one, a browser is known until the next start
    )
    _free(host, port)
    with contextlib.suppress(NotBuiltError):  # what else is wrong is told here, not on each page
        warehouse(settings).reader().query('reach', {})

    class Guarded(Server):
        def _create_app(self) -> Any:
            return guard(super()._create_app(), door)

    # Until main.py runs for the first time, Streamlit takes the folder `pages` for a menu of its own: who opened another
    # page first saw it without our menu, style and days.
    PagesManager.uses_pages_directory = False
    bootstrap.load_config_options(_OPTIONS | {'server_address': host, 'server_port': port})

    async def run() -> None:
        running = Guarded(str(MAIN), False)
        await running.start()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_heard)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, running.stop)
        url = f'http://{HOST}:{port}'
        told(Addresses(url, f'{url}/?{urlencode({TOKEN: door.token})}'))
        await running.stopped

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


def _heard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A browser that leaves while it is told something is no failure."""
    if not isinstance(context.get('exception'), WebSocketClosedError | StreamClosedError):
        loop.default_exception_handler(context)


def _free(host: str, port: int) -> None:
    """Streamlit takes the next port in silence, or ends the process."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise DashboardError(
                f'port {port} is in use: stop what listens there, or choose another with --port {port + 1} '
                f'or KLY_DASHBOARD_PORT={port + 1}'
            ) from None
