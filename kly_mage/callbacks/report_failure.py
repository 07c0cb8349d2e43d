"""Says in one line which block failed, for which day, why, and what to do."""

from kly_mage.mage.alerts import report

if 'callback' not in globals():
    from mage_ai.data_preparation.decorators import callback


@callback('failure')
def report_failure(parent_block_data, **kwargs):
    """Into the log of the run; and to KLY_ALERT_WEBHOOK, if that is set."""
    report(kwargs)
