"""What a block did or why it failed, told in one line: to its log, and, if somebody has to act, to the webhook."""

import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from kly_mage.common.errors import first_line
from kly_mage.common.redaction import given, redacted
from kly_mage.common.settings import load_settings
from kly_mage.common.text import counted
from kly_mage.loads.mage_run import tell as tell_block
from kly_mage.warehouse.choice import warehouse

logger = logging.getLogger('kly_mage')

WEBHOOK = 'KLY_ALERT_WEBHOOK'
TIMEOUT_SECONDS = 5


def report(kwargs: Mapping[str, Any]) -> str:
    """Log the line and post it to the webhook, if there is one; gives the line.

    Args:
        kwargs: what Mage gives a failure callback.
    """
    line = message(kwargs)
    told = kwargs.get('logger') or logger
    if isinstance(told, logging.Logger):
        told.error(line)
    else:  # a run's: all blocks share it, and the block it names is the first one
        told.error(line, block_uuid=kwargs.get('parent_block_uuid'))
    if kwargs.get('env') != 'dev':  # who tries a block in the editor sees it fail; nobody has to be called
        _post(line, kwargs, kwargs.get('parent_block_uuid'))
    return line


def tell(load: dict[str, Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a load did, and post it to the webhook if something of it needs a look though the run is green.

    Args:
        load: as ``loads.steps.export_new_rows`` returns it; on the command line it has no line to say.
        kwargs: the keyword arguments of the block.

    Returns:
        The load: it is the block's output.
    """
    if line := load.get('line'):
        tell_block(kwargs, line, urgent=bool(load['look']))
        if load['look'] and kwargs.get('pipeline_run_id'):
            pipeline, run = kwargs.get('pipeline_uuid'), kwargs['pipeline_run_id']
            started = f' ({kwargs["trigger_name"]})' if kwargs.get('trigger_name') else ''
            _post(redacted(f'{pipeline}: run {run}{started} has loaded {line}'), kwargs, kwargs.get('block_uuid'))
    return load


def tell_refresh(block: str, log: Any) -> None:
    """Say what the SQL block of a mart has done: it cannot say it itself.

    Args:
        block: the block, which is called like its mart; of any other nothing is said.
        log: the run's; None in ``mage run``, a plain one in the editor.
    """
    if line := warehouse(load_settings()).last_refresh(block):
        tell_block({'logger': log, 'block_uuid': block}, line, urgent=False)


def tell_rows(block: str, rows: int, log: Any) -> None:
    """Say how many rows a SQL block shows, such as a preview.

    Args:
        block: the block.
        rows: how many it has given.
        log: the run's, or a plain one in the editor.
    """
    tell_block({'logger': log, 'block_uuid': block}, f'{block}: {counted(rows, "row")} shown', urgent=False)


def message(kwargs: Mapping[str, Any]) -> str:
    """What failed, for which day, why, and what repairs it; without a secret."""
    pipeline, block = kwargs.get('pipeline_uuid') or 'pipeline', kwargs.get('parent_block_uuid') or 'a block'
    when = str(kwargs.get('ds') or kwargs.get('execution_date') or 'an unknown day')[:10]
    run = f', run {kwargs["pipeline_run_id"]}' if kwargs.get('pipeline_run_id') else ''
    error = kwargs.get('__error')
    why = f'{type(error).__name__}: {first_line(error)}' if isinstance(error, BaseException) else str(error)
    attempts = (kwargs.get('retry') or {}).get('attempts')
    tried = f' after {attempts} attempts' if attempts and int(attempts) > 1 else ''
    started = f' ({kwargs["trigger_name"]})' if kwargs.get('trigger_name') else ''
    remedy = 'Repair the cause, then retry the run in Mage (Runs, Retry incomplete blocks)'
    if kwargs.get('env') == 'dev':
        remedy = 'Repair the cause, then run the block again'
    return redacted(
        f'{pipeline}: block {block} failed{tried} for the run of {when}{started}{run}: {why.rstrip(".")}. '
        f'Nothing half-done was kept. {remedy}'
    )


def _post(line: str, kwargs: Mapping[str, Any], block: str | None) -> None:
    """Post ``{"text": …}``, which Slack, Teams and Mattermost take, with the parts beside it, to the webhook, if one is set.

    Never fails the run.
    """
    address = given().get(WEBHOOK)
    if not address:
        return
    body = {
        'text': line,
        'pipeline': kwargs.get('pipeline_uuid'),
        'block': block,
        'pipeline_run': kwargs.get('pipeline_run_id'),
    }
    if urlsplit(address).scheme not in ('http', 'https'):
        logger.warning('%s is no http address; nothing was posted', WEBHOOK)
        return
    import urllib.request  # the command line, whose blocks post nothing, need not wait for it

    request = urllib.request.Request(  # noqa: S310 - http or https, checked above
        address, json.dumps(body).encode(), {'Content-Type': 'application/json'}, method='POST'
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
            pass
    except (OSError, ValueError) as error:
        logger.warning('the alert could not be posted to %s: %s', WEBHOOK, redacted(first_line(error)))
