"""The marts, each declared once: table, key, measures with their unit, registry of distinct keys, source.

Creation, comments, ``verify``, ``rebuild``, ``reconcile`` with its view and page, and ``show`` follow from here. The SQL
block of a mart's name holds the rule by which the table is refreshed, and nothing else.
"""

from dataclasses import dataclass
from typing import Literal

Unit = Literal['count', 'USD']

NOT_SET = '(not set)'  # the member of a key for rows that have no value there: no row is left out of a mart


@dataclass(frozen=True)
class Rows:
    """One row contributes 1 if a column of it holds a value, else 0."""

    column: str
    value: str


@dataclass(frozen=True)
class Sum:
    """One row contributes what a column of it holds."""

    column: str


@dataclass(frozen=True)
class Distinct:
    """Rows of a key that agree in some columns count once; a row that lacks one of them counts none.

    What was counted stands in a registry, so that a later refresh does not count it again. Such a measure does not add up:
    neither over rows nor over keys.

    Attributes:
        columns: what tells two of them apart, beside the mart's key.
        registry: the table in ``gold`` that has the day of the mart and ``key``, a 64-bit hash.
        grain: what one row of the registry is.
        key: the column with the hash.
        key_description: one sentence, its COMMENT.
    """

    columns: tuple[str, ...]
    registry: str
    grain: str
    key: str
    key_description: str


@dataclass(frozen=True)
class Key:
    """A column of a mart's key.

    Attributes:
        name: as in the mart.
        description: one sentence, its COMMENT.
        column: the source's column it holds; ``NOT_SET`` stands for rows without. None if no column of the source is held
            as it is.
    """

    name: str
    description: str
    column: str | None = None


@dataclass(frozen=True)
class Measure:
    """A number that a mart keeps per key.

    Attributes:
        name: its column in the mart.
        description: one sentence, its COMMENT.
        of: how one row of the source contributes.
        unit: a count is a whole number, US dollars are exact.
    """

    name: str
    description: str
    of: Rows | Sum | Distinct
    unit: Unit = 'count'

    @property
    def adds_up(self) -> bool:
        """Whether the mart's number is the sum of what the rows contribute."""
        return not isinstance(self.of, Distinct)


@dataclass(frozen=True)
class Mart:
    """A table of ``gold`` that adds up the rows of one source.

    Attributes:
        name: of the table and of the SQL block that refreshes it.
        grain: what one row is, the first line of the table's COMMENT.
        source: whose rows are added up.
        day: the key column with the local day.
        by: the other key columns.
        measures: the numbers.
    """

    name: str
    grain: str
    source: str
    day: Key
    by: tuple[Key, ...]
    measures: tuple[Measure, ...]

    @property
    def table(self) -> str:
        """The table with its schema."""
        return f'gold.{self.name}'

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the key columns, the day first."""
        return (self.day.name, *(key.name for key in self.by))

    @property
    def restatements(self) -> str:
        """The view of what restatements have changed, with its schema; for a source whose rows come in versions."""
        return f'{self.table.removesuffix("_daily_summary")}_restatements'

    @property
    def additive(self) -> tuple[Measure, ...]:
        """The measures that add up over rows."""
        return tuple(measure for measure in self.measures if measure.adds_up)

    @property
    def registries(self) -> tuple[Distinct, ...]:
        """What remembers which keys are counted already."""
        return tuple(measure.of for measure in self.measures if isinstance(measure.of, Distinct))

    @property
    def tables(self) -> tuple[str, ...]:
        """What its refresh fills, with the schema: its table, then its registries; the order in which to lock several."""
        return (self.table, *(f'gold.{counted.registry}' for counted in self.registries))

    @property
    def money(self) -> str | None:
        """The measure that finance asks for: the first in US dollars, if there is one."""
        return next((measure.name for measure in self.measures if measure.unit == 'USD'), None)

    @property
    def money_column(self) -> str | None:
        """The column of the source that ``money`` is the sum of, if it is one."""
        found = (measure.of for measure in self.measures if measure.name == self.money)
        return next((of.column for of in found if isinstance(of, Sum)), None)

    @property
    def telling(self) -> str | None:
        """The measure to show where there is room for one: money before the first that adds up."""
        return self.money or next((measure.name for measure in self.additive), None)


@dataclass(frozen=True)
class Ratio:
    """A number of the joined view: one of its measures per another, NULL where there is none of the other.

    Attributes:
        name: its column.
        description: one sentence, its COMMENT.
        of: the measure that is divided.
        per: the measure it is divided by.
        times: per how many of these.
        unit: as of a measure; a count per count has none.
    """

    name: str
    description: str
    of: str
    per: str
    times: int = 1
    unit: Unit | None = None


@dataclass(frozen=True)
class Joined:
    """The view that puts marts side by side; its SQL block has the definition.

    Attributes:
        name: of the view in ``gold`` and of its SQL block.
        grain: what one row is, its COMMENT.
        day: the key column with the local day.
        by: the other key columns.
        attributes: what it says of a key besides numbers.
        finality: whether the numbers of its day are final, which the clock says and no refresh.
        marts: the marts whose measures it holds under their own names.
        ratios: the numbers it adds to theirs.
        shown: the columns that ``show`` prints behind the key, texts first: a terminal has no room for all.
        drawn: the numbers that the reconciliation page shows large and by day.
        grouped: the attributes by which ``show`` adds up.
    """

    name: str
    grain: str
    day: Key
    by: tuple[Key, ...]
    attributes: tuple[Key, ...]
    finality: Key
    marts: tuple[str, ...]
    ratios: tuple[Ratio, ...]
    shown: tuple[str, ...]
    drawn: tuple[str, ...]
    grouped: tuple[str, ...]

    @property
    def table(self) -> str:
        """The view with its schema."""
        return f'gold.{self.name}'

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the key columns, the day first."""
        return (self.day.name, *(key.name for key in self.by))

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures of its marts, in their order."""
        return joined_measures()


GA4_DAILY_SUMMARY = Mart(
    name='ga4_daily_summary',
    grain='One row per event date and article: what GA4 saw.',
    source='ga4_events',
    day=Key('event_date', 'Local day of the events.'),
    by=(Key('content_id', 'The article; (not set) for events without one.', column='content_id'),),
    measures=(
        Measure('pageviews', 'Number of page_view events.', Rows('event_name', 'page_view')),
        Measure(
            'sessions',
            'Distinct (user_pseudo_id, session_id) with an event here; events that lack either count none.'
            ' Not additive over articles.',
            Distinct(
                columns=('user_pseudo_id', 'session_id'),
                registry='ga4_daily_sessions',
                grain='One row per session counted in gold.ga4_daily_summary.',
                key='session_key',
                key_description='64-bit hash over content_id, user_pseudo_id and session_id, each seeded with the hash of'
                ' the next.',
            ),
        ),
        Measure('user_engagements', 'Number of user_engagement events.', Rows('event_name', 'user_engagement')),
    ),
)

GAM_DAILY_SUMMARY = Mart(
    name='gam_daily_summary',
    grain='One row per serving date and article: what Google Ad Manager delivered.',
    source='gam_delivery',
    day=Key('served_date', 'Local day of the delivery.'),
    by=(Key('content_id', 'The article beside the ads; (not set) for ads without one.', column='content_id'),),
    measures=(
        Measure('impressions', 'Ad impressions.', Sum('impressions')),
        Measure('clicks', 'Ad clicks.', Sum('clicks')),
        Measure('revenue_usd', 'Revenue in US dollars, exact; corrections are negative.', Sum('revenue_usd'), unit='USD'),
    ),
)

MARTS: tuple[Mart, ...] = (GA4_DAILY_SUMMARY, GAM_DAILY_SUMMARY)

DAILY_SUMMARY = Joined(
    name='daily_summary',
    grain='One row per date and article: audience and ad revenue side by side.',
    day=Key('date', 'Local day.'),
    by=(Key('content_id', 'The article; (not set) for events and ads without one.'),),
    attributes=(
        Key('site', 'Site; (not set) if the CMS does not know the article.'),
        Key('title', 'Headline, latest version.'),
        Key('author', 'Author.'),
        Key('section', 'Section of the site.'),
        Key('publish_timestamp', 'When the article was published; NULL if unknown.'),
    ),
    finality=Key('finality', 'final, or provisional while a source of the day may deliver it again; see gold.finality.'),
    marts=(GA4_DAILY_SUMMARY.name, GAM_DAILY_SUMMARY.name),
    ratios=(
        Ratio(
            'page_rpm_usd', 'Revenue per 1,000 pageviews; NULL without pageviews.', 'revenue_usd', 'pageviews', 1000, 'USD'
        ),
        Ratio(
            'ecpm_usd', 'Revenue per 1,000 impressions; NULL without impressions.', 'revenue_usd', 'impressions', 1000, 'USD'
        ),
        Ratio('ctr', 'Clicks per impression; NULL without impressions.', 'clicks', 'impressions'),
    ),
    shown=('title', 'pageviews', 'sessions', 'impressions', 'clicks', 'revenue_usd', 'page_rpm_usd'),
    drawn=('pageviews', 'sessions', 'revenue_usd', 'page_rpm_usd'),
    grouped=('site', 'section', 'author'),
)


def joined_measures() -> tuple[Measure, ...]:
    """The measures of ``DAILY_SUMMARY``, in the order of its marts."""
    return tuple(measure for mart in MARTS if mart.name in DAILY_SUMMARY.marts for measure in mart.measures)


def marts_alone() -> tuple[Mart, ...]:
    """The marts that stand beside ``DAILY_SUMMARY``, not in it."""
    return tuple(mart for mart in MARTS if mart.name not in DAILY_SUMMARY.marts)


def mart_of(source: str) -> Mart | None:
    """The mart of a source: one at most, so that each number of a source has one place to be reconciled with."""
    return next((mart for mart in MARTS if mart.source == source), None)
