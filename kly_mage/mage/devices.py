"""Browsers that have signed somebody in before: wrong passwords of others do not lock them out."""

import secrets
from collections.abc import Hashable

import tornado.web

DEVICE, DEVICE_DAYS = 'kly_device', 365

Keys = tuple[tuple[str, Hashable], ...]
"""Under what an attempt is counted: ``('account', …)``, ``('address', …)`` or ``('device', …)``."""


def known(handler: tornado.web.RequestHandler, user: Hashable, secret: str, cookie: str = DEVICE) -> str | None:
    """The name of the browser that sends this request, if it has signed this user in before."""
    import jwt

    try:
        claims = jwt.decode(handler.get_cookie(cookie) or '', secret, algorithms=['HS256'], audience=DEVICE)
    except jwt.PyJWTError:
        return None
    return str(claims['device']) if claims['user'] == user else None


def counted_as(device: str | None, account: Hashable, address: Hashable) -> Keys:
    """Under what an attempt counts: a known browser's under its own name, anybody else's for all who ask the same."""
    return (('device', device),) if device else (('account', account), ('address', address))


def remember(
    handler: tornado.web.RequestHandler,
    user: Hashable,
    secret: str,
    path: str,
    device: str | None = None,
    cookie: str = DEVICE,
) -> None:
    """Have the browser known from now on, under the name it has or a new one.

    Args:
        handler: answers the request that has signed the user in.
        user: whom.
        secret: signs the cookie.
        path: the only address that it is sent to.
        device: its name, if it is known.
        cookie: the cookie's name; cookies do not tell ports apart.
    """
    import jwt

    claims = {'aud': DEVICE, 'user': user, 'device': device or secrets.token_urlsafe(16)}
    signed = jwt.encode(claims, secret, algorithm='HS256')
    secure = handler.request.headers.get('Origin', '').startswith('https://')
    handler.set_cookie(cookie, signed, expires_days=DEVICE_DAYS, path=path, httponly=True, samesite='Strict', secure=secure)
