"""``backfill --via-mage``: the same days as Mage backfills on the running server."""

import time
from datetime import datetime
from typing import Any

from kly_mage.common.console import note
from kly_mage.common.errors import EditorError
from kly_mage.common.settings import UTC, env_path, load_settings
from kly_mage.common.window import Window
from kly_mage.mage import editor
from kly_mage.mage.client import EMAIL, FINISHED, MageClient
from kly_mage.warehouse.choice import warehouse

POLL_SECONDS = 0.5


def run(chosen: list[str], days: Window, quiet: bool) -> list[dict[str, Any]]:
    """Create one backfill per pipeline, start them, and show their days as they finish.

    Returns:
        Per source what all days together have loaded, by the names of ``counts.Counts``.

    Raises:
        EditorError: no server, no password, a server that refuses, or a backfill that has not completed.
    """
    client = sign_in()
    name = f'{days} ({datetime.now(UTC):%Y-%m-%d %H:%M:%S})'
    backfills: dict[str, int] = {}
    try:
        for pipeline in chosen:
            backfills[pipeline] = client.create_backfill(pipeline, name, str(days.start), str(days.end))
            client.start_backfill(backfills[pipeline])
            note(f'{pipeline}: {client.url}/pipelines/{pipeline}/backfills/{backfills[pipeline]}')
        runs = [run for pipeline, number in backfills.items() for run in _follow(client, pipeline, number, quiet)]
    except KeyboardInterrupt:
        for number in backfills.values():
            client.cancel_backfill(number)
        note('the backfills are cancelled; the days that were finished stay')
        raise
    return warehouse(load_settings()).of_pipeline_runs([str(run['id']) for run in runs])


def sign_in() -> MageClient:
    """Sign in to the editor of this repository."""
    settings = load_settings()
    if not settings.owner_password:
        raise EditorError(f'no {editor.PASSWORD} in {env_path()}: start the server once with `make editor`')
    return MageClient(editor.address(settings), EMAIL, settings.owner_password)


def _follow(client: MageClient, pipeline: str, backfill: int, quiet: bool) -> list[dict[str, Any]]:
    """Show the days as they finish; gives the runs once all have."""
    told: dict[int, str] = {}
    while True:
        status, runs = str(client.backfill(backfill)['status']), client.runs(backfill)
        for run in runs:
            state = str(run['status'])
            if state in FINISHED and told.get(run['id']) != state:
                told[run['id']] = state
                if not quiet:
                    note(f'{str(run["execution_date"])[:10]}  {pipeline}  {state}  ({len(told)} of {len(runs)})')
        if status == 'completed':
            return runs
        if status in FINISHED:
            days = sorted(str(run['execution_date'])[:10] for run in runs if run['status'] != 'completed')
            raise EditorError(
                f'{pipeline}: the backfill has {status}; not loaded: {", ".join(days)}. The log is on '
                f'{client.url}/pipelines/{pipeline}/backfills/{backfill}, where a day can be run again'
            )
        time.sleep(POLL_SECONDS)
