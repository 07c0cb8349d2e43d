"""What a reconciliation says in words: one line per thing, each with the command that repairs it."""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal

from kly_mage.checks.reconciliation.model import MISSING, NO_FILE, Causes, Finding, Line, Report
from kly_mage.common.text import counted
from kly_mage.common.window import spans
from kly_mage.declared import SOURCES
from kly_mage.declared.marts import DAILY_SUMMARY, mart_of
from kly_mage.landing.formats import location

REBUILD = 'python -m kly_mage rebuild'


def find(report: Report) -> list[Finding]:
    """Everything worth a line: first what is wrong, then what is only good to know."""
    found = [finding for name in report.sources for finding in _of_source(report, name, report.causes[name])]
    return sorted(found, key=lambda finding: not finding.wrong)


def dollars(amount: Decimal) -> str:
    """An exact amount as people read it: all its digits, at least cents."""
    whole, _, fraction = f'{amount:,f}'.partition('.')
    return f'{whole}.{fraction.rstrip("0").ljust(2, "0")} USD'


def verdict(report: Report, money: Callable[[Decimal], str] = dollars) -> str:
    """The last line: which days lack their file, whether every cent is accounted for, how much counts and how much waits."""
    told = '; '.join(part for part in (_accounted(report, money), _undecided(report, money)) if part)
    absent = '; '.join(f'{name} {spans(days)}' for name, days in report.without_file.items())
    if not absent:
        return told
    if not report.equal:
        return f'{told}; and there is no file for {absent}'
    return f'not complete, there is no file for {absent}; of what was delivered: {told}'


def _undecided(report: Report, said: Callable[[Decimal], str]) -> str:
    """The conflicting rows that nobody has decided about; nothing where there is none."""
    rows = sum(line.rows.get('waiting', 0) for line in report.lines)
    if not rows:
        return ''
    money = [line for line in report.lines if line.money]
    told = f'{counted(rows, "row waits", "rows wait")} for a decision'
    if money:
        counts, read = (sum((line.money_in(place) for line in money), Decimal(0)) for place in ('gold', 'read'))
        waits = sum((line.money_in('waiting') for line in money), Decimal(0))
        share = f' ({waits * 100 / read:.1f} %)' if read else ''
        told = f'{said(counts)} count, {said(waits)}{share} in {told}'
    if days := len(report.undecided):
        told += f', more than {report.conflict_limit:f} % of {counted(days, "day")}'
    return told


def _accounted(report: Report, said: Callable[[Decimal], str]) -> str:
    money = [line for line in report.lines if line.money]
    missing = sum((line.money_in('not_loaded', 'outside') for line in money), Decimal(0))
    surplus = sum((line.money_in('in_no_file') for line in money), Decimal(0))
    off = sum((abs(line.gold_difference(line.money)) for line in money if line.money), Decimal(0))
    parts = []
    if missing:
        parts.append(f'{said(missing)} of the files is not in gold')
    if surplus:
        parts.append(f'{said(surplus)} in bronze is in no file')
    if off:
        parts.append(f'gold and bronze differ by {said(off)}')
    if parts:
        return 'not accounted for: ' + ', '.join(parts)
    all_money = 'every cent accounted for' if money else ''
    if report.equal:
        return all_money or 'every row accounted for'
    rows = sum(line.rows.get(place, 0) for line in report.lines for place in (*MISSING, 'in_no_file'))
    told = counted(rows, 'row is not where it belongs', 'rows are not where they belong') if rows else 'see the lines above'
    return f'{all_money}, but not everything else: {told}' if all_money else f'not accounted for: {told}'


def backfill(days: Iterable[date | None], how: str = '') -> str | None:
    """The command that loads these days."""
    known = [day for day in days if day]
    return f'python -m kly_mage backfill --start {min(known)} --end {max(known)}{how}' if known else None


def _of_source(report: Report, name: str, causes: Causes) -> Iterator[Finding]:
    lines = report.lines_of(name)
    total = report.total(name)
    for text, held in causes.unreadable:
        there = [line.day for line in report.lines if line.day and (held is None or line.day in held)]
        load = backfill([*there, held.end] if held else there) or 'load it'
        yield Finding('unreadable', name, text, f'deliver the file again, then {load}')
    if absent := causes.without_file:
        command = f'deliver the files into {name}/, then {backfill(absent)}'
        yield Finding(NO_FILE, name, f'{name} {spans(absent)}: no file; gold shows these days without its rows', command)
    yield from _files(name, causes, lines)
    yield from _absent(name, causes, lines)
    yield from _outside(name, causes)
    yield from _damaged(name, causes)
    yield from _unsourced(name, causes, lines)
    yield from _gold(name, causes, lines)
    if any(line.rows_unexplained for line in lines):
        days = [line.day for line in lines if line.rows_unexplained]
        yield Finding('unexplained', name, f'{name} {_spans(days)}: bronze holds a row twice', 'python -m kly_mage verify')
    yield from _rejects(report, name, causes, total)
    yield from _conflicts(report, name, causes, total)
    yield from _facts(report, name, total)


def _files(name: str, causes: Causes, lines: list[Line]) -> Iterator[Finding]:
    off = {line.day for line in lines if any(line.rows.get(place) for place in ('not_loaded', 'in_no_file', 'outside'))}
    for file, day, before, now in causes.changed:
        told = f'{before:,} bytes then, {now:,} now' if before != now else 'same size, later time'
        wrong = bool(off if day is None else off & {day - timedelta(days=n) for n in range(8)})
        near = [each for each in off if each and day and day - timedelta(days=7) <= each <= day]
        is_gone = any(line.rows.get('in_no_file') for line in lines if line.day in near)  # no load takes a row out
        remedy = _repair(name, near) if is_gone else backfill([day, *near])
        yield Finding(
            'file changed',
            name,
            f'{file} changed after it was loaded ({told})'
            + ('' if wrong else '; bronze holds what the files say all the same'),
            remedy or backfill(off) if wrong else None,
            wrong,
        )
    for file, day in causes.gone:
        wrong = any(line.rows.get('in_no_file') for line in lines)
        put_back = f'put it back, then python -m kly_mage reconcile --source {name}' + (
            f' --start {day - timedelta(days=3)} --end {day}' if day else ''
        )
        yield Finding('file gone', name, f'{file} was loaded and is not there any more', put_back if wrong else None, wrong)


def _absent(name: str, causes: Causes, lines: list[Line]) -> Iterator[Finding]:
    if not any(line.rows.get('not_loaded') for line in lines):
        return
    if all(line.day not in causes.covered for line in lines if line.rows.get('not_loaded')) and not causes.covered:
        kind = 'nothing of it was ever loaded'
        yield _not_loaded(name, kind, [line for line in lines if line.rows.get('not_loaded')], causes)
        return
    if SOURCES[name].any_day:  # articles are loaded file by file, whatever their day
        yield _not_loaded(name, 'not loaded', [line for line in lines if line.rows.get('not_loaded')], causes)
        return
    never = [line for line in lines if line.rows.get('not_loaded') and line.day not in causes.covered]
    since = [line for line in lines if line.rows.get('not_loaded') and line.day in causes.covered]
    for kind, group in (('never loaded', never), ('came after the day was loaded', since)):
        for span in _runs(group):
            yield _not_loaded(name, kind, span, causes)


def _not_loaded(name: str, kind: str, lines: list[Line], causes: Causes) -> Finding:
    rows = sum(line.rows.get('not_loaded', 0) for line in lines)
    days: list[date | None] = [line.day for line in lines]
    if SOURCES[name].any_day or not any(days):
        days = [day for _, day, *_ in causes.not_loaded] + [last for *_, last in causes.not_loaded if last]
    return Finding(
        'never loaded' if 'never' in kind else 'not loaded',
        name,
        f'{name} {_spans(days)}: {kind}, {_rows(rows)}{_worth(lines, "not_loaded")}',
        backfill(days, '' if 'never' in kind else ' --reread'),  # a load may have had rows that were deleted since
    )


def _outside(name: str, causes: Causes) -> Iterator[Finding]:
    for file, day, rows, first, last, line in causes.outside:
        days = f'{first}' if first == last else f'{first} to {last}'
        text = f'{location(file, line)}: {_rows(rows)} dated {days}, outside the days this file may hold; no load takes them'
        if last <= day and SOURCES[name].late_days is None:
            # It has to stay: without it the next account finds these rows in no file.
            command = f'KLY_LATE_DAYS={(day - first).days} in .env, then {backfill([first, last])}'
        else:
            says = 'in which zone its files are cut, and how early and late their rows may be'
            command = f'say in kly_mage/declared/{name}.py {says}, then {backfill([day, first, last])}'
        yield Finding('outside', name, text, command)


def _damaged(name: str, causes: Causes) -> Iterator[Finding]:
    texts = {
        'changed': '{} changed in bronze after it was loaded',
        'lost': '{} deleted from bronze after it was loaded',
        'unregistered': '{} put into bronze by hand',
        'restated': '{} counted in another version than the files say',
    }
    for place, text in texts.items():
        if not (rows := causes.damaged.get(place, [])):
            continue
        days = [day for day, *_ in rows]
        _, file, line, _ = rows[0]
        told = counted(len(rows), 'row was', 'rows were')
        first = f' ({"" if len(rows) == 1 else "the first: "}{location(file, line)})' if file else ''
        text = text.format(told).replace('it was loaded', 'it was loaded' if len(rows) == 1 else 'they were loaded')
        yield Finding(place, name, f'{name} {_spans(days)}: {text}{first}', _repair(name, days))


def _unsourced(name: str, causes: Causes, lines: list[Line]) -> Iterator[Finding]:
    by_hand = len(causes.damaged.get('unregistered', []))
    days = [line.day for line in lines if line.rows.get('in_no_file')]
    rows = sum(line.rows.get('in_no_file', 0) for line in lines) - by_hand
    if rows <= 0:
        return
    if causes.gone:
        why, command = 'their file is gone', 'put the files back; ' + ', '.join(file for file, _ in causes.gone[:3])
    else:
        why = 'its file may not hold its day any more' if causes.outside else 'a file or the declaration has changed since'
        command = _repair(name, days)
    text = f'{name} {_spans(days)}: {_rows(rows)} of bronze in no file{_worth(lines, "in_no_file")}; {why}'
    yield Finding('in no file', name, text, command)


def _repair(name: str, days: Collection[date | None]) -> str:
    known = [day for day in days if day]
    # Versions of an article may be of any days: only an account of all of them sees which one counts.
    is_any = None in days or SOURCES[name].any_day
    span = '' if is_any or not known else f' --start {min(known)} --end {max(known)}'
    return f'python -m kly_mage repair --source {name}{span}'


def _gold(name: str, causes: Causes, lines: list[Line]) -> Iterator[Finding]:
    mart = mart_of(name)
    if mart is None:
        return
    tables = [('gold', mart.table)] + ([('summary', DAILY_SUMMARY.table)] if mart.name in DAILY_SUMMARY.marts else [])
    for measure in mart.additive:
        for place, table in tables:
            differences = {line.day: _difference(line, measure.name, place) for line in lines}
            off = {day: difference for day, difference in differences.items() if difference}
            if not off:
                continue
            total, days = sum(off.values(), Decimal(0)), list(off)
            if place == 'gold' and causes.uncounted:
                why = f'{_rows(causes.uncounted)} of bronze {"waits" if causes.uncounted == 1 else "wait"} for a refresh'
                command = backfill([max(day for day in days if day)])
            elif place == 'gold' and causes.damaged.get('restated'):
                why, command = 'not the newest versions of the files', _repair(name, list(days))
            elif place == 'gold':
                why, command = 'not what bronze gives', REBUILD
            else:
                why, command = 'it waits for a refresh', backfill([max(day for day in days if day)])
            text = f'{table} {_spans(days)}: {measure.name} off by {_signed(total)}; {why}'
            yield Finding(place, name, text, command)


def _difference(line: Line, measure: str, place: str) -> Decimal:
    off = line.gold_difference(measure)
    if place == 'gold':
        return off
    return line.sum(measure, 'summary') - line.sum(measure, 'gold') if not off else Decimal(0)


def _rejects(report: Report, name: str, causes: Causes, total: Line) -> Iterator[Finding]:
    rows = total.rows.get('rejected', 0)
    command = f'python -m kly_mage rejects --source {name}'
    if rows:
        told = sorted(
            (reason.replace('is missing', 'required value missing'), count) for reason, count in report.rejects(name).items()
        )
        reasons = ', '.join(f'{count:,} {reason}' for reason, count in told)
        money = f', {dollars(total.money_in("rejected"))} readable in them' if total.money else ''
        yield Finding('rejects', name, f'{name}: {_rows(rows)} rejected ({reasons}){money}', command, wrong=False)
    if causes.stale_rejects:
        text = f'{name}: {_rows(causes.stale_rejects)} rejected once {"is" if causes.stale_rejects == 1 else "are"} repaired'
        yield Finding('repaired rejects', name, f'{text} in the file', f'{command} --retry', wrong=False)


def _conflicts(report: Report, name: str, causes: Causes, total: Line) -> Iterator[Finding]:
    rows, older = total.rows.get('conflict', 0), total.rows.get('superseded', 0)
    if older and SOURCES[name].applies_restatements:
        text = f'{name}: {_rows(older)} restated in a later file; the newest version counts'
        yield Finding('restated', name, text, None, wrong=False)
    same = total.rows.get('conflict_same_file', 0)
    if rows > same:
        change = report.fact(name, 'revenue_change_in_conflicts')
        text = (
            f'{name}: {_rows(rows - same)} restated in a later file; the first version counts. '
            f'All conflicts hold '
            f'{dollars(total.money_in("conflict"))}, {_signed(change)} USD against what counts'
        )
        lists = f'python -m kly_mage conflicts --source {name}' if total.rows.get('waiting') else None
        yield Finding('restated', name, text, lists, wrong=False)
    if same:
        text = f'{name}: {_rows(same)} with the key of another row of the same file: no restatement'
        if causes.same_file:
            columns = ' or '.join(causes.same_file)
            text += f'. Column {columns} tells them apart'
            remedy = f'add {columns} to hash_columns of {name} in kly_mage/declared/{name}.py'
        else:
            text += '. No column of the file tells them apart, only their numbers'
            remedy = 'ask for the report with one more dimension'
        yield Finding('same key in one file', name, text, remedy, wrong=False)


def _facts(report: Report, name: str, total: Line) -> Iterator[Finding]:
    """What is neither missing nor wrong, and still good to know."""
    if total.late:
        told = ', '.join(f'{rows:,} by {counted(lag, "day")}' for lag, rows in sorted(total.late.items()))
        yield Finding('late', name, f'{name}: {_rows(sum(total.late.values()))} came late: {told}', None, wrong=False)
    for kind, column, money, text in (
        ('without content', 'rows_without_content', 'revenue_without_content', 'without content, (not set) in gold'),
        ('unknown content', 'rows_of_unknown_content', 'revenue_of_unknown_content', 'of content the CMS does not know'),
        ('without session', 'rows_without_session', None, 'without user or session, they count no session'),
        ('negative revenue', 'rows_of_negative_revenue', 'revenue_negative', 'with negative revenue'),
    ):
        if rows := int(report.fact(name, column)):
            worth = f', {dollars(report.fact(name, money))}' if money and total.money else ''
            yield Finding(kind, name, f'{name}: {_rows(rows)} {text}{worth}', None, wrong=False)
    if keys := int(report.fact(name, 'contents_on_one_side')):
        articles = f'{name}: {counted(keys, "article and day", "articles and days")}'
        if total.money:
            worth = dollars(report.fact(name, 'revenue_without_events'))
            text = f'{articles} with ads and no event, {worth}'
        else:
            views = int(report.fact(name, 'pageviews_without_ads'))
            text = f'{articles} with events and no ad, {counted(views, "pageview")}'
        yield Finding('one side only', name, text, None, wrong=False)


def _worth(lines: list[Line], place: str) -> str:
    """What rows in a place amount to, in the source's most telling number."""
    mart = mart_of(lines[0].source) if lines else None
    if mart is None or mart.telling is None:
        return ''
    amount = sum((line.sum(mart.telling, place) for line in lines), Decimal(0))
    return f', {dollars(amount)}' if mart.money else f', {int(amount):,} {mart.telling}'


def _runs(lines: list[Line]) -> Iterator[list[Line]]:
    """Lines of days that follow each other, together."""
    run: list[Line] = []
    for line in lines:
        if run and not (run[-1].day and line.day and line.day - run[-1].day == timedelta(days=1)):
            yield run
            run = []
        run.append(line)
    if run:
        yield run


def _spans(days: Iterable[date | None]) -> str:
    given = set(days)
    told = spans(day for day in given if day)
    return ', '.join(part for part in (told, 'no day' if None in given else '') if part) or 'no day'


def _rows(count: int) -> str:
    return counted(count, 'row')


def _signed(amount: Decimal) -> str:
    text = f'{amount:+,f}'
    return text.rstrip('0').rstrip('.') if '.' in text else text
