"""What a source is: its columns and rules, what makes two of its rows the same, which version of a row counts."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Kind = Literal['text', 'id', 'timestamp', 'count', 'money', 'fingerprint']


@dataclass(frozen=True)
class Column:
    """One column of a source.

    Attributes:
        name: as in the file's header and in the table.
        kind: ``text`` is free; ``id`` is text that serves as a key (at most 500 characters); ``timestamp`` is an
            instant; ``count`` is a whole number, at least 0; ``money`` is an exact decimal, negatives allowed;
            ``fingerprint`` is no column of files, but 128 bits of a row (``UNDECLARED``).
        description: one sentence, the column's COMMENT.
        required: a row without it is rejected.
        person: its values stand for persons, whose rows ``forget`` takes out; at most one column of a source, an ``id``.
    """

    name: str
    kind: Kind
    description: str
    required: bool = False
    person: bool = False


# What a row says in undeclared columns, as one value; NULL if it says nothing there.
UNDECLARED = Column('_undeclared', 'fingerprint', 'Fingerprint of what the row says in columns that are not declared.')


@dataclass(frozen=True)
class AgainstArticle:
    """``column operator of_article`` holds for a row and the newest version of the article that its ``content_id`` names.

    A row whose article is not known, or where one of both is NULL, is not compared.

    Attributes:
        column: of the row.
        operator: as in SQL.
        of_article: a column of ``cms_articles``.
    """

    column: str
    operator: Literal['<', '<=', '=', '<>', '>=', '>']
    of_article: str


@dataclass(frozen=True)
class Rule:
    """Something that should hold for every row of a source; each load counts its new rows that break it.

    Attributes:
        name: what holds, in a few words.
        broken: when a row breaks it: a condition over the declared columns, written as in SQL, because that is what an
            analyst writes and a reader reads at once (it is decided on the frame, before the rows reach a database); or
            a comparison with the row's article, from which the warehouse makes its own query.
        level: ``warn`` rules are counted in ``ops.load_rules`` and shown by ``status``; a broken ``stop`` rule fails the
            load before anything of it can be seen.
    """

    name: str
    broken: str | AgainstArticle
    level: Literal['warn', 'stop'] = 'warn'


@dataclass(frozen=True)
class Volume:
    """How many rows a day should bring, measured by the median of the days around it that are loaded.

    A day is only judged where enough of its neighbours are known and bring more than a handful of rows each: a small
    number is far from another small one by chance.

    Attributes:
        least: the share of that median below which a day is far off.
        most: the multiple of it above which it is.
        days: how many days before and after are its neighbours: two weeks have every weekday twice.
        level: ``warn`` is said by the load, the alert and ``status``; ``stop`` refuses the load before anything of it can
            be seen.
    """

    least: float = 0.2
    most: float = 5.0
    days: int = 14
    level: Literal['warn', 'stop'] = 'warn'


@dataclass(frozen=True)
class Freshness:
    """How old the newest day of a source may be where today's days are asked for.

    Attributes:
        days: so many days before today it may be. Yesterday's files, loaded this morning, are one day old.
        level: as of ``Volume``.
    """

    days: int = 2
    level: Literal['warn', 'stop'] = 'warn'


@dataclass(frozen=True)
class Finality:
    """From which day on a day's numbers are final: nobody expects another delivery of it any more.

    Attributes:
        days: so many whole days after it have passed; or
        of_next_month: that day of the next month has come.
    """

    days: int = 0
    of_next_month: int | None = None

    def of(self, day: date) -> date:
        """The first day on which the numbers of ``day`` are final."""
        if self.of_next_month is None:
            return day + timedelta(days=self.days + 1)
        return (day.replace(day=1) + timedelta(days=31)).replace(day=self.of_next_month)


@dataclass(frozen=True)
class Plausible:
    """How much money a file may bring: in micros taken for units, all of it is a million times too much.

    Attributes:
        money: the column whose amounts are added up, whatever their signs.
        per: the column of what the money is paid for.
        most: money for 1,000 of that over a whole file, beyond which its unit is another one and the file is refused; fewer
            than 1,000 count as 1,000. A mapping of ``landing.toml`` may say another bound for its files.
    """

    money: str
    per: str
    most: int


@dataclass(frozen=True)
class Source:
    """One source: its files, its columns, what makes two of its rows the same.

    Attributes:
        name: folder or file in the landing zone, table in ``bronze``.
        grain: what one row is, the first line of the table's COMMENT.
        columns: the declared columns, in the table's order.
        day_column: the timestamp whose local day decides which load takes the row.
        hash_columns: what ``_hashrow`` is over; None means all columns, undeclared ones included.
        any_day: every load takes every row of the files not loaded yet, whatever its day, because rows of other
            sources refer to it.
        versioned: rows are versions of something, and the last one delivered counts (``gold.articles``).
        rules: what should hold for its rows.
        exports: what else a file's name may begin with before its day, because others name it. Of one
            day the files of the first are delivered first, those of the source's own name last. In a name ``#`` is a
            number, and its files have no place in that order.
        complete: of these, and of the source's own name, those whose files hold a day whole: what counts of a day is what
            the newest delivery of such a kind holds (``landing/deliveries.py``). Files of the others only add to it. Such a
            source is hashed over all columns: its rows have versions, and not the first of them counts.
        whole_days: how many days, its own the last of them, such a file holds whole: a report of the last seven days is the
            newest delivery of each of them. None where its day is one of another zone, whose rows are of two local days.
        key_columns: what two versions of one row share. It says whether a row that the newest delivery lacks has got another
            version or is gone; no number depends on it. Undeclared columns may be among them.
        volume: how many rows a day should bring; None where that says nothing, as for a source of ``any_day``.
        freshness: how old its newest day may be; None for a source that is delivered when there is something.
        finality: from when on its days are final; None where nothing is known of that, and no day is ever called so.
        plausible: how much money a file may bring; None where files hold none.
        file_timezone: the zone in which the day in a file's name is a day; None if it is the warehouse's. A file of a UTC
            day may hold rows of two days in Jakarta.
        early_days: how many days after a file's own its rows may be.
        late_days: how many days before a file's own its rows may be; None for what ``KLY_LATE_DAYS`` says.
        restatements: which version counts if a later file brings other numbers for a key: ``keep`` the first, ``apply``
            the newest. Two rows of one file with one key are no restatement: the first of them counts.
    """

    name: str
    grain: str
    columns: tuple[Column, ...]
    day_column: str
    hash_columns: tuple[str, ...] | None = None
    any_day: bool = False
    versioned: bool = False
    rules: tuple[Rule, ...] = ()
    exports: tuple[str, ...] = ()
    complete: tuple[str, ...] = ()
    whole_days: int | None = None
    key_columns: tuple[str, ...] = ()
    volume: Volume | None = None
    freshness: Freshness | None = None
    finality: Finality | None = None
    plausible: Plausible | None = None
    file_timezone: str | None = None
    early_days: int = 0
    late_days: int | None = None
    restatements: Literal['keep', 'apply'] = 'keep'

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: what holds whole days is hashed over some columns only, or days are said to be whole of no file.
        """
        if self.complete and self.hash_columns is not None:
            raise ValueError(
                f'{self.name}: with complete, let key_columns name what hash_columns does: the hash is over all'
            )
        if self.whole_days is not None and not (self.complete and self.whole_days > 0):
            raise ValueError(f'{self.name}: whole_days is at least 1, of the files that complete names')
        if self.whole_days is not None and self.file_timezone is not None:
            raise ValueError(
                f'{self.name}: files whose day is one of another zone hold no local day whole: without whole_days'
            )

    def late(self, setting: int) -> int:
        """How many days before a file's own its rows may be, where ``KLY_LATE_DAYS`` is ``setting``."""
        return max(setting if self.late_days is None else self.late_days, (self.whole_days or 1) - 1)

    @property
    def holds_whole_days(self) -> bool:
        """Whether what counts of a day is what the newest delivery of it holds."""
        return bool(self.complete)

    @property
    def may_be_corrected(self) -> bool:
        """Whether rows of bronze may count no longer, again, or in another version, because of what is delivered later."""
        return self.holds_whole_days or bool(self.version_columns)

    @property
    def value_columns(self) -> tuple[Column, ...]:
        """The declared columns that the hash leaves out. Empty if it leaves out none."""
        if self.hash_columns is None:
            return ()
        return tuple(column for column in self.columns if column.name not in self.hash_columns)

    @property
    def version_columns(self) -> tuple[Column, ...]:
        """What may differ between two rows of one key, and makes two versions of them: all that the hash leaves out.

        Empty if the hash is over all columns.
        """
        return () if self.hash_columns is None else (*self.value_columns, UNDECLARED)

    @property
    def knows_places(self) -> bool:
        """Whether the warehouse keeps where a row stood: which version counts goes by that, or may once it is redeclared."""
        return self.versioned or bool(self.version_columns) or self.whole_days is not None

    @property
    def applies_restatements(self) -> bool:
        """Whether the newest version of a row counts, not the first."""
        return self.restatements == 'apply' and bool(self.value_columns)

    @property
    def person_column(self) -> str | None:
        """The column whose values stand for persons; None if the source knows none."""
        return next((column.name for column in self.columns if column.person), None)

    @property
    def money_columns(self) -> tuple[str, ...]:
        """The columns that hold money."""
        return tuple(column.name for column in self.columns if column.kind == 'money')

    @property
    def names(self) -> tuple[str, ...]:
        """The declared column names, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The declared column of that name; KeyError if there is none."""
        return {column.name: column for column in self.columns}[name]
