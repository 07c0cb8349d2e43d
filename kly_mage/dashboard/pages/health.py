"""Health: which days are there, what came late or was restated, what cannot be used, and does it add up?"""

from kly_mage.dashboard import numbers
from kly_mage.dashboard.calendar import calendar
from kly_mage.dashboard.numbers import everything
from kly_mage.dashboard.parts import MOST, WORDS, Column, link, note, subhead, table, title
from kly_mage.declared import SOURCES

days = title('Health')
span = {'start': days.start, 'end': days.end}
calendar(numbers.rows('calendar', **span), numbers.provisional(days))

checks = numbers.rows('checks', **span)
looked, when = checks.columns.index('rows_to_look_at'), checks.columns.index('checked_at')
subhead('Reconciliation')
if checks.rows:
    off = sum(1 for row in checks.rows if row[looked])
    verdict = f'{off:,} days need a look' if off else 'every row that was read has its place'
    note(f'When the files were read last ({max(row[when] for row in checks.rows):%Y-%m-%d %H:%M} UTC): {verdict}.')
else:
    note('The files were not read again so far: python -m kly_mage reconcile does it, and leaves what it finds here.')
table(
    'reconciliation',
    [
        Column('day', 'Day', 'day', lambda row: link('proof', day=row['day']) if row['day'] else None),
        Column('source', 'Source'),
        Column('rows_in_files', 'In the files', 'count'),
        Column('rows_not_loaded', 'Not loaded', 'count'),
        Column('rows_lost', 'Lost', 'count'),
        Column('rows_changed', 'Changed', 'count'),
        Column('rows_in_no_file', 'In no file', 'count'),
        Column('rows_outside', 'Outside', 'count'),
        Column('revenue_in_files', 'Revenue in the files, USD', 'money'),
        Column('revenue_missing', 'of it missing, USD', 'money'),
    ],
    checks.columns,
    checks.rows,
    proof=lambda row: link('proof', day=row['day']) if row['day'] else None,
)

lateness = numbers.rows('lateness', **span)
table(
    'lateness',
    [Column('source', 'Source'), Column('days_late', 'Days late', 'count'), Column('rows', 'Rows', 'count')],
    lateness.columns,
    lateness.rows,
    heading='Lateness',
    remark='Distinct rows by how many days after their own day they were first delivered, as the last reconcile has found.',
    proof=lambda row: link('proof', **numbers.ends(days)),
)

if SOURCES['ga4_events'].complete:
    restated = numbers.rows('corrections', **span)
    table(
        'restated_events',
        [
            Column('restated_at', 'Restated', 'instant'),
            Column('day', 'Day', 'day', lambda row: link('proof', day=row['day'])),
            Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
            Column('rows_replaced', 'Replaced by another version', 'count'),
            Column('rows_withdrawn', 'Withdrawn', 'count'),
            Column('rows_returned', 'Back again', 'count'),
        ],
        restated.columns,
        restated.rows,
        heading=f'Restated events: {len(restated.rows):,}',
        proof=lambda row: link('proof', load=row['load_id']),
        remark='What newer deliveries of a day have corrected. The day has the numbers; those of ads are with the ads.',
    )

rejects = numbers.rows('rejects', **span, limit=MOST)
table(
    'rejects',
    [
        Column('day', 'Day', 'day', lambda row: link('proof', day=row['day']) if row['day'] else None),
        Column('source', 'Source'),
        Column('file', 'File'),
        Column('line', 'Line', 'count'),
        Column('column_name', 'Column'),
        Column('value', 'Value'),
        Column('reason', 'Reason'),
        Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
    ],
    rejects.columns,
    rejects.rows,
    heading=f'Rejects that wait: {rejects.rows[0][-1] if rejects.rows else 0:,}',
    remark='Rows that cannot be used, of these days and without a readable day. Repair the file, then rejects --retry.',
    proof=lambda row: link('proof', load=row['load_id']),
    count=rejects.rows[0][-1] if rejects.rows else 0,
    whole=lambda: everything('rejects', **span, limit=None),
)

loads = numbers.rows('loads', **span, load=None, limit=MOST)
table(
    'loads',
    [
        Column('load_id', 'Load', 'number', lambda row: link('proof', load=row['load_id'])),
        Column('source', 'Source'),
        Column('status', 'Status'),
        Column('start_day', 'From', 'day'),
        Column('end_day', 'To', 'day'),
        Column('rows_read', 'Read', 'count'),
        Column('rows_new', 'New', 'count'),
        Column('rows_already_loaded', 'Already loaded', 'count'),
        Column('rows_duplicate', 'Duplicate', 'count'),
        Column('rows_conflicting', 'Conflicting', 'count'),
        Column('rows_restated', 'Restated', 'count'),
        Column('rows_rejected', 'Rejected', 'count'),
        Column('rows_outside', 'Outside', 'count'),
        Column('rows_superseded', 'Superseded', 'count'),
        Column('rows_forgotten', 'Forgotten', 'count'),
        Column('finished_at', 'Finished', 'instant'),
        Column('started_by', 'Started by'),
    ],
    loads.columns,
    loads.rows,
    heading=f'Loads of these days: {loads.rows[0][-1] if loads.rows else 0:,}',
    remark='Each row that was read has one place.',
    links=[WORDS],
    proof=lambda row: link('proof', load=row['load_id']),
    count=loads.rows[0][-1] if loads.rows else 0,
    whole=lambda: everything('loads', **span, load=None, limit=None),
)
