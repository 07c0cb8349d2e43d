"""Mage's server with the corrections this project needs: ``python -m kly_mage.mage.server [HOST [PORT]]``.

Mage 0.9.80 has no setting for these, so they are put in before its server starts:

- Whoever is not signed in gets the sign-in page and the status, nothing else. Mage itself checks its REST resources, but
  not its pages, event matchers and events, and its web socket sends every block's output to whoever listens.
- A trigger that Mage sees for the first time waits for its next time, without a run at once and without writing into
  ``triggers.yaml``.
- A pipeline that is saved keeps its ``metadata.yaml`` as a person writes it (``pipeline_file``).
- Callbacks run for failures only: for a success, Mage would read the block's whole output into memory to call nothing.
- The password in ``.env`` is the one that counts, also if Mage's database remembers another.
- What the kernel says reaches the block that made it say so, also from the first block on.
"""

import contextlib
import http.cookies
import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import tornado.httputil
import tornado.web

from kly_mage.common.settings import PROJECT, UTC
from kly_mage.mage.pipeline_file import Yaml

# Without these the sign-in page cannot be shown or used. None of them knows anything about the project.
_OPEN = re.compile(
    r'/sign-in/?|/api/status(es)?|/api/sessions|/api/oauths|/favicon\.ico|/(_next/static|fonts|images|monaco-editor)/.*'
)
# Called by other machines with the token of an API trigger, which Mage compares.
_OWN_TOKEN = re.compile(r'/api/pipeline_schedules/\d+/(pipeline_runs/\w+|api_trigger)|/api/runs(/\w+)?')
_PAGE = re.compile(r'/(?!api/|websocket/|event-streams/|metrics)')
# Every run is a fork of the scheduler: what is imported there costs a run nothing (two seconds, measured). Not our own
# modules: an edited one has to count from the next run on.
PRELOADED = ('mage_ai.io.postgres', 'pandas', 'polars', 'polars_hash', 'pyarrow', 'pgpq', 'psycopg2')


def main(host: str = '127.0.0.1', port: str = '6789') -> None:
    """Start the server; returns when it ends."""
    from mage_ai.settings.repo import set_repo_path

    set_repo_path(str(PROJECT))  # before anything of Mage's looks for its database
    sys.path.append(str(PROJECT.parent))
    import mage_ai.server.server as mage
    from mage_ai.orchestration.db.database_manager import database_manager
    from mage_ai.server import scheduler_manager
    from mage_ai.server.active_kernel import get_active_kernel_client
    from mage_ai.server.setup import initialize_globals

    database_manager.run_migrations()
    correct()
    number_apart()
    make_app, sign_ins = mage.make_app, mage.initialize_user_authentication

    def guarded(*args: Any, **kwargs: Any) -> Any:
        # Mage subscribes some seconds after it takes the first request; what the kernel says until then would be lost.
        get_active_kernel_client().iopub_channel.start()
        return guard(make_app(*args, **kwargs))

    def with_our_password(project_type: Any) -> Any:
        client = sign_ins(project_type)
        _set_password()
        return client

    mage.make_app = guarded
    mage.initialize_user_authentication = with_our_password
    mage.sleep = lambda seconds: None  # it waits for tables that are there since run_migrations
    _mage_scheduler()
    scheduler_manager.run_scheduler = run_scheduler
    initialize_globals()
    mage.start_server(host=host, port=port, project=str(PROJECT))


def run_scheduler() -> None:
    """The scheduler's process: a function of this module, so that the corrections are there too if it is not forked."""
    correct()
    for name in PRELOADED:
        importlib.import_module(name)
    _mage_scheduler()()


def _mage_scheduler() -> Callable[[], None]:
    """Mage's own ``run_scheduler``, kept before it was replaced."""
    from mage_ai.server import scheduler_manager

    if not hasattr(scheduler_manager, 'mage_run_scheduler'):
        scheduler_manager.mage_run_scheduler = scheduler_manager.run_scheduler
    found: Callable[[], None] = scheduler_manager.mage_run_scheduler
    return found


def correct() -> None:
    """Put the corrections of triggers, pipelines and callbacks into this process, once."""
    from mage_ai.data_preparation.models import pipeline as pipelines
    from mage_ai.data_preparation.models.block import CallbackBlock
    from mage_ai.orchestration.db.models.schedules import PipelineSchedule

    if isinstance(pipelines.yaml, Yaml):
        return
    execute, update_batch = CallbackBlock.execute_callback, PipelineSchedule.create_or_update_batch.__func__

    def on_failure(self: Any, callback: str, *args: Any, **kwargs: Any) -> None:
        if callback == 'on_failure':
            execute(self, callback, *args, **kwargs)

    def waiting(cls: Any, triggers: list[Any]) -> None:
        known = {
            (row.pipeline_uuid, row.name): row.last_enabled_at
            for row in PipelineSchedule.repo_query.filter(PipelineSchedule.name.in_([t.name for t in triggers])).all()
        }
        for trigger in triggers:
            if str(trigger.status) == 'active' and str(trigger.schedule_type) == 'time':
                if trigger.schedule_interval == '@once':
                    continue
                since = known.get((trigger.pipeline_uuid, trigger.name)) or datetime.now(UTC)
                written = trigger.last_enabled_at
                written = written.replace(tzinfo=UTC) if written and not written.tzinfo else written
                trigger.last_enabled_at = max(since, written) if written else since
        update_batch(cls, triggers)

    pipelines.yaml = Yaml()
    CallbackBlock.execute_callback = on_failure
    PipelineSchedule.create_or_update_batch = classmethod(waiting)


def number_apart() -> None:
    """Have no two connections to the kernel number their messages alike.

    A page asks every few seconds how much memory the kernel uses. Jupyter numbers messages by session and count, and a
    client takes over its manager's session but not its count: Mage's first questions bear the numbers of the first blocks.
    The answer to a question is then taken for the end of the block, whose output comes too late.
    """
    from jupyter_client.session import Session, new_id

    clone = Session.clone

    def with_its_own_id(self: Session) -> Session:
        copy = clone(self)
        copy.session = new_id()
        return copy

    Session.clone = with_its_own_id  # type: ignore[method-assign]


def guard(application: tornado.web.Application) -> tornado.web.Application:
    """Let only those in who are signed in."""
    find = application.find_handler

    def find_handler(request: tornado.httputil.HTTPServerRequest, **kwargs: Any) -> Any:
        if _may_pass(request):
            return find(request, **kwargs)
        return application.get_handler_delegate(request, Refusal)

    application.find_handler = find_handler  # type: ignore[method-assign]
    return application


class Refusal(tornado.web.RequestHandler):
    """The answer to whoever is not signed in: the sign-in page for a page, 401 for the rest."""

    def prepare(self) -> None:
        """Answer whatever the method."""
        if self.request.method in ('GET', 'HEAD') and _PAGE.match(self.request.path):
            self.redirect('/sign-in')
            return
        self.set_status(401)
        self.set_header('Content-Type', 'application/json')
        self.finish(json.dumps({'error': {'code': 401, 'type': 'unauthorized', 'message': 'Sign in first.'}}))


def _may_pass(request: tornado.httputil.HTTPServerRequest) -> bool:
    if _OPEN.fullmatch(request.path) or _OWN_TOKEN.fullmatch(request.path):
        return True
    origin = request.headers.get('Origin')
    if origin and urlsplit(origin).netloc != request.host and request.headers.get('Upgrade', '').lower() == 'websocket':
        return False  # a page of another site, with the cookie of this one
    return any(_valid(token) for token in _tokens(request))


def _tokens(request: tornado.httputil.HTTPServerRequest) -> list[str]:
    """Whatever may be a token: header, query (downloads), and the cookie that the sign-in page sets."""
    found = [request.headers.get('OAUTH-TOKEN', ''), request.headers.get('Authorization', '').removeprefix('Bearer ')]
    found += [value.decode('utf-8', 'replace') for value in request.query_arguments.get('token', [])]
    cookies: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
    with contextlib.suppress(http.cookies.CookieError):
        cookies.load(request.headers.get('Cookie', ''))
    if 'oauth_token' in cookies:
        found.append(_inside(cookies['oauth_token'].value))
    return [token for token in found if token]


def _inside(signed: str) -> str:
    import jwt
    from mage_ai.authentication.oauth2 import decode_token

    try:
        return str(decode_token(signed).get('token') or '')
    except jwt.PyJWTError:
        return ''


def _valid(token: str) -> bool:
    from mage_ai.orchestration.db import safe_db_query
    from mage_ai.orchestration.db.models.oauth import Oauth2AccessToken

    @safe_db_query  # type: ignore[untyped-decorator]
    def look() -> bool:
        found = Oauth2AccessToken.query.filter(Oauth2AccessToken.token == token).first()
        return bool(found and found.is_valid())

    return bool(look())


def _set_password() -> None:
    from mage_ai.authentication.passwords import create_bcrypt_hash, generate_salt, verify_password
    from mage_ai.orchestration.db.models.oauth import Oauth2AccessToken, User

    password = os.environ.get('DEFAULT_OWNER_PASSWORD')
    owner = User.query.filter(User.email == os.environ.get('DEFAULT_OWNER_EMAIL')).first()
    if not password or not owner or verify_password(password, owner.password_hash):
        return
    salt = generate_salt()
    owner.update(password_hash=create_bcrypt_hash(password, salt), password_salt=salt)
    for token in Oauth2AccessToken.query.filter(Oauth2AccessToken.user_id == owner.id).all():
        token.delete()  # who signed in with the old one signs in again


if __name__ == '__main__':
    main(*sys.argv[1:])
