"""Answering in front of a Tornado application: what every guard of ours does, whatever it lets through."""

import contextlib
import http.cookies
from collections.abc import Callable
from typing import Any

import tornado.httputil
import tornado.web

Answer = tuple[type[tornado.web.RequestHandler], dict[str, Any]]
"""The handler that answers instead of the application's, with its arguments."""


def answer_first(
    application: tornado.web.Application,
    answer: Callable[[tornado.httputil.HTTPServerRequest], Answer | None],
    max_bytes: int,
) -> None:
    """Ask ``answer`` before the application's own handlers, which get a request where it gives None.

    Args:
        max_bytes: how long the body of a request may be that the application does not get.
    """
    find = application.find_handler

    def find_handler(request: tornado.httputil.HTTPServerRequest, **kwargs: Any) -> Any:
        if (found := answer(request)) is None:
            return find(request, **kwargs)
        request.connection.set_max_body_size(max_bytes)  # type: ignore[union-attr]
        return application.get_handler_delegate(request, *found)

    application.find_handler = find_handler  # type: ignore[method-assign]


def cookie(request: tornado.httputil.HTTPServerRequest, name: str) -> str | None:
    """The value of a cookie; None without it, or if its header is none."""
    cookies: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
    with contextlib.suppress(http.cookies.CookieError):
        cookies.load(request.headers.get('Cookie', ''))
    return cookies[name].value if name in cookies else None
