"""The running Mage server over its REST interface: signing in, and backfills."""

import base64
import json
import urllib.error
import urllib.request
from typing import Any

from kly_mage.common.errors import EditorError

API_KEY = 'zkWlN0PkIKSN0C11CfUHUj84OT5XOJ6tDZ6bDRO2'  # the same public client id in every Mage
EMAIL = 'admin@admin.com'  # Mage's own name for its first user; the password is what counts
FINISHED = ('completed', 'failed', 'cancelled')


class MageClient:
    """One signed-in user of a Mage server.

    Args:
        url: the server, such as ``http://127.0.0.1:6789``.
        email: who signs in.
        password: with which password.

    Raises:
        EditorError: there is no server, or it refuses.
    """

    def __init__(self, url: str, email: str, password: str) -> None:
        self.url = url
        self._headers = {'X-API-KEY': API_KEY, 'Content-Type': 'application/json'}
        signed = self.call('POST', 'sessions', {'session': {'email': email, 'password': password}})['session']['token']
        claims = signed.split('.')[1]
        token = json.loads(base64.urlsafe_b64decode(claims + '=' * (-len(claims) % 4)))['token']
        self._headers['OAUTH-TOKEN'] = token

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request; gives the answer's JSON.

        Raises:
            EditorError: no answer, or an error (which Mage sends with status 200).
        """
        request = urllib.request.Request(  # noqa: S310 - the address is the user's own server
            f'{self.url}/api/{path}', json.dumps(body).encode() if body is not None else None, self._headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise EditorError(f'Mage refuses {method} {path}: {_sentence(error)}') from None
        except (OSError, ValueError) as error:
            raise EditorError(
                f'no Mage server answers at {self.url} ({getattr(error, "reason", error)}): start it with `make editor`'
            ) from None
        if isinstance(answer, dict) and answer.get('error'):
            message = str(answer['error'].get('message') or answer['error']).strip().splitlines()[-1]
            raise EditorError(f'Mage refuses {method} {path}: {message}')
        return answer

    def create_backfill(self, pipeline: str, name: str, start: str, end: str, interval: str = 'day') -> int:
        """A backfill that covers ``start`` to ``end``, both included; it does not run yet."""
        body = {
            'name': name,
            'start_datetime': f'{start} 00:00:00',
            'end_datetime': f'{end} 00:00:00',
            'interval_type': interval,
            'interval_units': 1,
            'variables': {},
        }
        return int(self.call('POST', f'pipelines/{pipeline}/backfills', {'backfill': body})['backfill']['id'])

    def start_backfill(self, backfill: int) -> None:
        """Start it; started again, it runs all its days anew."""
        self.call('PUT', f'backfills/{backfill}', {'backfill': {'status': 'initial'}})

    def cancel_backfill(self, backfill: int) -> None:
        """Stop it; what its finished days have loaded stays."""
        self.call('PUT', f'backfills/{backfill}', {'backfill': {'status': 'cancelled'}})

    def backfill(self, backfill: int) -> dict[str, Any]:
        """The backfill as Mage sees it, with ``status``."""
        found: dict[str, Any] = self.call('GET', f'backfills/{backfill}')['backfill']
        return found

    def runs(self, backfill: int) -> list[dict[str, Any]]:
        """Its runs, one per interval, oldest day first."""
        answer = self.call('GET', f'pipeline_runs?backfill_id={backfill}&_limit=2000')
        return sorted(answer['pipeline_runs'], key=lambda run: (str(run['execution_date']), run['id']))

    def retry(self, run: int) -> None:
        """Run again what has not finished of one run."""
        self.call('PUT', f'pipeline_runs/{run}', {'pipeline_run': {'pipeline_run_action': 'retry_blocks'}})


def _sentence(error: urllib.error.HTTPError) -> str:
    """What the answer to a refused request says, or else what its status means."""
    try:
        return str(json.load(error)['error']['message'])
    except (OSError, ValueError, LookupError, TypeError):
        return f'{error.code} {error.reason}'
