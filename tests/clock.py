"""Time in tests that count days from today."""

import time
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

JAKARTA = ZoneInfo('Asia/Jakarta')


def lasting_day(minutes: float = 2) -> date:
    """Today in Jakarta, where midnight is not near; else tomorrow, once it has begun: a test that begins then ends on it.

    Args:
        minutes: that the test may take; most are done in two.
    """
    later = (datetime.now(JAKARTA) + timedelta(minutes=minutes)).date()
    while (now := datetime.now(JAKARTA).date()) < later:
        time.sleep(0.5)
    return now
