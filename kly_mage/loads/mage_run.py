"""What Mage's metadata know about a backfill and its blocks are not told."""

from collections.abc import Mapping
from typing import Any


def asked(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The range and the interval of the backfill that this run belongs to, for ``window``; empty for any other run.

    Args:
        kwargs: the keyword arguments of a block.
    """
    run_id = kwargs.get('pipeline_run_id')
    if not run_id or not str(kwargs.get('trigger_name') or '').startswith('Backfill '):
        return {}
    from mage_ai.orchestration.db.models.schedules import Backfill, PipelineRun

    run = PipelineRun.query.get(run_id)
    backfill = Backfill.query.get(run.backfill_id) if run is not None and run.backfill_id else None
    if backfill is None or backfill.interval_type is None:
        return {}
    return {
        'backfill_interval': str(getattr(backfill.interval_type, 'value', backfill.interval_type)),
        'backfill_units': int(backfill.interval_units or 1),
        'backfill_end': backfill.end_datetime,
    }
