"""Who may pass: every request to Mage's server is looked at here before any of Mage's handlers.

Mage 0.9.80 checks its REST resources, but not its pages, event matchers, events and sockets (``mage_ai/server/server.py:
make_app``), and neither ``Host`` nor ``Origin``: ``check_origin`` gives True in ``mage_ai/server/api/base.py`` and
``websocket_server.py``, and every answer allows all origins.
"""

import json
import re
from typing import Any

import tornado.httputil
import tornado.web

from kly_mage.mage import sign_in
from kly_mage.mage.answering import Answer, answer_first, cookie
from kly_mage.mage.hosts import VARIABLE, Hosts, foreign

# The sign-in page cannot be shown without these files of Mage's. None of them knows anything about the project.
_OPEN = re.compile(r'/sign-in|/favicon\.ico|/(_next/static|fonts|images|monaco-editor)/.*')
_STATUS, _PROVIDERS, _SESSIONS = ('/api/status', '/api/statuses'), '/api/oauths', '/api/sessions'
_PAGE = re.compile(r'/(?!/|api/|websocket/|event-streams/|metrics).*')
# Called by other machines with the token of an API trigger.
_TRIGGER = re.compile(r'/api/pipeline_schedules/\d+/(?:pipeline_runs/(\w+)|api_trigger)|/api/runs(?:/(\w+))?')
# Links that Mage's page makes for the browser to follow.
_DOWNLOAD = re.compile(r'/api/pipelines/\w+/block_outputs/[^/]+/downloads')
# Mage's page of version control works on the clone that is checked out: one click resets it, or pushes.
_VERSION_CONTROL = re.compile(r'/version-control(\.html)?/?')
_ITS_SCRIPT = re.compile(r'/_next/static/chunks/pages/version-control-\w+\.js')
_GIT = re.compile(r'/api/(git_|version_control_|syncs\b).*')
_READING = ('GET', 'HEAD')
UNSIGNED_BYTES = 64 * 1024
"""The longest body taken from somebody who is not signed in."""
NO_VERSION_CONTROL = (
    'Version control is off in this editor: it would commit, reset and push the clone that the editor works in. '
    'Use git in a terminal, in the folder of the project.'
)
HEADERS = {
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'SAMEORIGIN',
    'Content-Security-Policy': "frame-ancestors 'self'",
    'Referrer-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
}


def guard(application: tornado.web.Application, here: Hosts) -> tornado.web.Application:
    """Let only those in who come to one of our addresses, from our own pages if from a page, and are signed in."""
    application.add_transform(OwnHeaders)
    answer_first(application, lambda request: _answer(request, here), UNSIGNED_BYTES)
    return application


def _answer(request: tornado.httputil.HTTPServerRequest, here: Hosts) -> Answer | None:
    """The handler that answers instead of Mage's, with its arguments; None if Mage may."""
    path, reads = request.path, request.method in _READING
    if request.headers.get('Host', '').lower() not in here.names:
        return Refusal, {'status': 421, 'message': f'The editor is not at this address; {VARIABLE} lists where it is.'}
    if foreign(request.headers, here, may_be_linked=reads and bool(_PAGE.fullmatch(path))):
        return Refusal, {'status': 403, 'message': 'This request comes from another site.'}
    if request.method == 'POST' and path == _SESSIONS:
        return sign_in.SignIn, {'here': here}
    if _ITS_SCRIPT.fullmatch(path):  # a page that lacks its script is asked for as a whole, and says why
        return Refusal, {'status': 404, 'message': NO_VERSION_CONTROL}
    if reads and _OPEN.fullmatch(path):
        return None
    request.signed_in = any(sign_in.signed_in(token) for token in _tokens(request))  # type: ignore[attr-defined]
    if request.signed_in:  # type: ignore[attr-defined]
        if _VERSION_CONTROL.fullmatch(path):
            return NoVersionControl, {}
        if not reads and _GIT.fullmatch(path):
            return Refusal, {'status': 403, 'message': NO_VERSION_CONTROL}
        return None
    if _of_api_trigger(request):
        return None
    if reads and path in _STATUS:
        return Said, {'answer': {'statuses': [_status()]}}
    if reads and path == _PROVIDERS:
        return Said, {'answer': {'oauths': []}}  # nobody signs in with another service's word
    if reads and _PAGE.fullmatch(path):
        return ToSignIn, {}
    return Refusal, {'status': 401, 'message': 'Sign in first.'}


def _tokens(request: tornado.httputil.HTTPServerRequest) -> list[str]:
    """Whatever may be the token of somebody signed in.

    The cookie is sent by the browser, whoever asks it to: to change something, the browser has to say that it was us.
    """
    headers = request.headers
    found = [headers.get('OAUTH-TOKEN', ''), headers.get('Authorization', '').removeprefix('Bearer ')]
    if request.method == 'GET' and _DOWNLOAD.fullmatch(request.path):
        found += [value.decode('utf-8', 'replace') for value in request.query_arguments.get('token', [])]
    is_ours = request.method in _READING or 'Origin' in headers or headers.get('Sec-Fetch-Site') == 'same-origin'
    if is_ours and (token := cookie(request, 'oauth_token')) is not None:
        found.append(sign_in.inside(token))
    return [token for token in found if token]


def _of_api_trigger(request: tornado.httputil.HTTPServerRequest) -> bool:
    """Has another machine sent the token of an API trigger to one of the addresses that take it?"""
    from mage_ai.data_preparation.models.triggers import ScheduleType
    from mage_ai.orchestration.db import safe_db_query
    from mage_ai.orchestration.db.models.schedules import PipelineSchedule

    if request.method != 'POST' or not (called := _TRIGGER.fullmatch(request.path)):
        return False
    token = next(filter(None, called.groups()), None) or request.headers.get('Authorization', '').removeprefix('Bearer ')

    @safe_db_query  # type: ignore[untyped-decorator]
    def look() -> bool:
        of_token = PipelineSchedule.query.filter(PipelineSchedule.token == token)
        return of_token.filter(PipelineSchedule.schedule_type == ScheduleType.API).first() is not None

    return bool(token and look())


def _status() -> dict[str, Any]:
    """What the sign-in page asks for; Mage's own answer has the project's path and process numbers too."""
    from mage_ai.settings import REQUIRE_USER_AUTHENTICATION, REQUIRE_USER_PERMISSIONS

    return {
        'is_instance_manager': False,
        'require_user_authentication': REQUIRE_USER_AUTHENTICATION,
        'require_user_permissions': REQUIRE_USER_PERMISSIONS,
    }


class Said(tornado.web.RequestHandler):
    """An answer that is the same for everybody."""

    def initialize(self, answer: dict[str, Any]) -> None:
        """Args: answer, what is sent as JSON."""
        self.answer = answer

    def get(self) -> None:
        """Send it."""
        self.finish(self.answer)

    head = get


class ToSignIn(tornado.web.RequestHandler):
    """The way to the sign-in page, for a page."""

    def prepare(self) -> None:
        """Send it, to GET and HEAD alike."""
        self.redirect('/sign-in')


class NoVersionControl(tornado.web.RequestHandler):
    """What stands in the place of Mage's page of version control."""

    def prepare(self) -> None:
        """Say why it is not there."""
        self.finish(
            '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            '<title>Version control</title><body style="font: 16px/1.5 sans-serif; max-width: 40em; margin: 4em auto; '
            'padding: 0 1em; background: #1f2024; color: #eee"><h1>Version control</h1>'
            f'<p>{NO_VERSION_CONTROL}</p><p><a style="color: #8ab4ff" href="/pipelines">Back to the pipelines</a></p>'
        )


class Refusal(tornado.web.RequestHandler):
    """A refusal, whatever the method."""

    def initialize(self, status: int, message: str) -> None:
        """Args: status and message, what is sent."""
        self.answer = status, message

    def prepare(self) -> None:
        """Send it in the form Mage's pages read."""
        self.set_status(self.answer[0])
        self.set_header('Content-Type', 'application/json')
        self.finish(json.dumps(sign_in.error(*self.answer)))


class OwnHeaders(tornado.web.OutputTransform):
    """Every answer says whose it is, and to no other site that it may read it."""

    def transform_first_chunk(
        self, status_code: int, headers: tornado.httputil.HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, tornado.httputil.HTTPHeaders, bytes]:
        """Take Mage's ``Access-Control-Allow-…`` out (``BaseHandler.set_default_headers``, ``StaticFileHandler``)."""
        for name in [name for name in headers if name.lower().startswith('access-control-') or name == 'Server']:
            del headers[name]
        headers.update(HEADERS)
        return status_code, headers, chunk
