"""What is done on PostgreSQL alone, in one sentence."""

from kly_mage.common.errors import UsageError


def not_yet(what: str) -> UsageError:
    """The error of who asks for it elsewhere.

    Args:
        what: a command, an option or a rule, as the message begins.
    """
    return UsageError(f'{what} works on PostgreSQL (KLY_WAREHOUSE=postgres), not on BigQuery yet: nothing was done')
