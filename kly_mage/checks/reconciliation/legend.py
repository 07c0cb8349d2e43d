"""What the words of the page mean, for those who look after the money. docs/words.md has the same words for all who load."""

from collections.abc import Iterable

from kly_mage.checks.reconciliation.table import TITLES

MEANINGS = {
    'read': 'all rows of the files that Google and the publisher delivered: what has to be found again below',
    'duplicate': 'the same row delivered once more; it counts once, so this money is not missing',
    'bronze': 'rows that are stored and count: this is the money that gold has to hold',
    'conflict': 'the same delivery reported again with other numbers; the first report counts until somebody decides',
    'rejected': 'rows nobody can read, such as a letter where an amount should be; they do not count, and are kept aside',
    'superseded': 'rows in whose place a newer file of the same day counts',
    'not_loaded': 'rows of a file that was not loaded yet: money that is missing until it is',
    'outside': 'rows whose day does not fit the day of their file: not loaded, somebody has to look',
    'forgotten': 'rows of persons who asked to be forgotten; no longer counted',
    'lost': 'rows that were loaded and are gone from the database: to be repaired',
    'changed': 'rows that are in the database with other values than in the file: to be repaired',
    'in_no_file': 'rows that count although no file holds them any more: they cannot be proved',
    'replaced': 'earlier versions of rows that a newer file has corrected; they count no longer',
    'withdrawn': 'rows that the newest file of their day does not have any more; they count no longer',
}
"""By place of a row: one sentence each, in finance's words."""

ALWAYS_TOLD = (
    ('gold', 'the sums that reports and dashboards show'),
    ('difference', 'gold less what has to be in it: 0 means that every report shows exactly what was delivered'),
    ('USD', 'shown to the cent; all digits appear where one points at an amount, and stand in the CSV file of this page'),
)


def legend(shown: Iterable[str]) -> list[tuple[str, str]]:
    """The words of these places and of the other columns, each with what it means."""
    return [*((TITLES[place], MEANINGS[place]) for place in shown), *ALWAYS_TOLD]
