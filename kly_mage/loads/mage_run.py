"""What Mage's metadata know about a run and its blocks are not told, and what a run leaves: words in its log, files."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kly_mage.common.console import say
from kly_mage.common.private import private_folder


def asked(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What ``window`` has to know besides the arguments of a block.

    The backfill that this run belongs to, with its range and interval (the name of a trigger tells nothing); or that
    it was started once by hand (*Run@once*): Mage's page shows such a run's ``run_date``, and gives it the present
    moment as its date.

    Args:
        kwargs: the keyword arguments of a block.
    """
    run_id = kwargs.get('pipeline_run_id')
    if not run_id:
        return {}
    from mage_ai.orchestration.db.models.schedules import Backfill, PipelineRun

    run = PipelineRun.query.get(run_id)
    if run is None or run.pipeline_schedule is None:
        return {}
    backfill = Backfill.query.get(run.backfill_id) if run.backfill_id else None
    if backfill is None:
        return {'run_once': True} if run.pipeline_schedule.schedule_interval == '@once' else {}
    if backfill.interval_type is None:
        return {'backfill_id': backfill.id}
    return {
        'backfill_id': backfill.id,
        'backfill_interval': str(getattr(backfill.interval_type, 'value', backfill.interval_type)),
        'backfill_units': int(backfill.interval_units or 1),
        'backfill_end': backfill.end_datetime,
    }


def tell(kwargs: Mapping[str, Any], line: str, *, urgent: bool) -> None:
    """One line in the log of the block's run; in the editor, where a block has no log, in its output.

    Args:
        kwargs: the keyword arguments of a block.
        urgent: it is logged as a warning.
    """
    log = kwargs.get('logger')
    if log is None or isinstance(log, logging.Logger):
        say(line)
    else:  # a run's: its blocks share it, and the block it names by itself is the first one
        (log.warning if urgent else log.info)(line, block_uuid=kwargs.get('block_uuid'))


def keep_private(kwargs: Mapping[str, Any]) -> None:
    """Close what Mage keeps, rows and logs, to everybody but its owner, whoever has started it.

    ``make editor`` and compose start Mage that way. ``mage run`` has made its folder open before the first block is called,
    with nothing of a file in it yet; from here on the folder is closed, and so is whatever this process makes.

    Args:
        kwargs: the keyword arguments of a block; those of the command line are not Mage's, and nothing is done.
    """
    if not kwargs.get('block_uuid'):
        return
    from mage_ai.settings.repo import get_variables_dir

    os.umask(0o077)
    private_folder(Path(get_variables_dir()))
