"""Time in tests that count days from today."""

import time
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

JAKARTA = ZoneInfo('Asia/Jakarta')
_NEAR = timedelta(minutes=2)  # no test that counts days takes as long


def lasting_day() -> date:
    """Today in Jakarta, where midnight is not near; else tomorrow, once it has begun: a test that begins then ends on it."""
    now = datetime.now(JAKARTA)
    if (now + _NEAR).date() > now.date():
        time.sleep(_NEAR.total_seconds())
    return datetime.now(JAKARTA).date()
