"""The sources, each declared once. DDL, casting, hashing, validation and comments all come from here.

To add a source: declare it, add it to ``SOURCES``, and write its three blocks (see README, "Adding a source").
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal['text', 'id', 'timestamp', 'count', 'money']

POSTGRES_TYPES: dict[Kind, str] = {
    'text': 'text',
    'id': 'text',
    'timestamp': 'timestamptz',
    'count': 'bigint',
    'money': 'numeric',
}


@dataclass(frozen=True)
class Column:
    """One column of a source.

    Attributes:
        name: as in the file's header and in the table.
        kind: ``text`` is free; ``id`` is text that serves as a key (at most 500 characters); ``timestamp`` is an
            instant; ``count`` is a whole number, at least 0; ``money`` is an exact decimal, negatives allowed.
        description: one sentence, the column's COMMENT.
        required: a row without it is rejected.
    """

    name: str
    kind: Kind
    description: str
    required: bool = False


@dataclass(frozen=True)
class Rule:
    """Something that should hold for every row of a source; each load counts its new rows that break it.

    Attributes:
        name: what holds, in a few words.
        broken: when a row breaks it: a SQL condition over the declared columns; or, if it has to look at other tables, a
            whole ``select count(*)`` over ``new_rows`` (the rows of the load) joined with whatever it needs.
        level: ``warn`` rules are counted in ``ops.load_rules`` and shown by ``status``; a broken ``stop`` rule fails the
            load before anything of it can be seen.
    """

    name: str
    broken: str
    level: Literal['warn', 'stop'] = 'warn'

    @property
    def is_query(self) -> bool:
        """Whether the database has to answer, because other tables are needed."""
        return self.broken.lstrip().startswith('select')


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
    restatements: Literal['keep', 'apply'] = 'keep'

    @property
    def value_columns(self) -> tuple[Column, ...]:
        """The columns the hash leaves out: what may differ between two rows of one key. Empty if it leaves out none."""
        if self.hash_columns is None:
            return ()
        return tuple(column for column in self.columns if column.name not in self.hash_columns)

    @property
    def applies_restatements(self) -> bool:
        """Whether the newest version of a row counts, not the first."""
        return self.restatements == 'apply' and bool(self.value_columns)

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


CMS_ARTICLES = Source(
    name='cms_articles',
    grain='One row per version of an article, as the CMS exported it.',
    columns=(
        Column('content_id', 'id', 'The article; the same id in GA4 events and ad rows.', required=True),
        Column('site', 'text', 'The site that published the article.'),
        Column('title', 'text', 'Headline of this version.'),
        Column('author', 'text', 'Author as the CMS spells the name.'),
        Column('section', 'text', 'Section of the site.'),
        Column('publish_timestamp', 'timestamp', 'When the article was published; NULL if the CMS does not say.'),
    ),
    day_column='publish_timestamp',
    any_day=True,
    versioned=True,
    rules=(
        Rule('an article has a title', "title is null or title = ''"),
        Rule('an article has a publish time', 'publish_timestamp is null'),
    ),
)

# What GA4 collects by itself and what it recommends to publishers; a name outside is mostly a typing error in a tag.
_EVENT_NAMES = (
    'add_payment_info add_shipping_info add_to_cart add_to_wishlist ad_click ad_impression begin_checkout click'
    ' file_download first_visit form_start form_submit generate_lead login page_view purchase refund remove_from_cart'
    ' scroll search select_content select_item select_promotion session_start share sign_up user_engagement'
    ' video_complete video_progress video_start view_cart view_item view_item_list view_promotion view_search_results'
)

GA4_EVENTS = Source(
    name='ga4_events',
    grain='One row per distinct GA4 event.',
    columns=(
        Column('event_timestamp', 'timestamp', 'When the event happened.', required=True),
        Column('event_name', 'text', 'GA4 event name, such as page_view or user_engagement.', required=True),
        Column('user_pseudo_id', 'id', 'GA4 client id; NULL when consent was denied.'),
        Column('session_id', 'id', 'ga_session_id: numbered per user, so a session is (user_pseudo_id, session_id).'),
        Column('content_id', 'id', 'The article the event belongs to; NULL on pages without one.'),
        Column('site', 'text', 'Host of the page.'),
        Column('page_location', 'text', 'URL of the page.'),
        Column('device_category', 'text', 'mobile, desktop, tablet or smart tv.'),
        Column('country', 'text', 'Country of the visitor, as GA4 names it.'),
        Column('traffic_source', 'text', 'Where the visitor came from, such as google or (direct).'),
    ),
    day_column='event_timestamp',
    rules=(
        Rule(
            'an event has a name GA4 knows',
            'event_name not in ({})'.format(', '.join(f"'{name}'" for name in _EVENT_NAMES.split())),
        ),
        Rule(
            'an article is published before its events',
            'select count(*) from new_rows inner join gold.articles as article'
            ' on new_rows.content_id = article.content_id'
            ' where new_rows.event_timestamp < article.publish_timestamp',
        ),
    ),
)

GAM_DELIVERY = Source(
    name='gam_delivery',
    grain='One row per Google Ad Manager delivery: instant, ad unit, line item, creative and article.',
    columns=(
        Column('served_at', 'timestamp', 'When the ads were served.', required=True),
        Column('site', 'text', 'The site that showed the ads.'),
        Column('ad_unit', 'text', 'Ad unit path.', required=True),
        Column('line_item', 'text', 'Line item that paid for the impressions.'),
        Column('creative', 'text', 'Creative shown.'),
        Column('content_id', 'id', 'The article beside the ads; NULL on pages without one.'),
        Column('impressions', 'count', 'Ad impressions.', required=True),
        Column('clicks', 'count', 'Ad clicks.', required=True),
        Column('revenue_usd', 'money', 'Revenue in US dollars; negative for corrections.', required=True),
    ),
    day_column='served_at',
    hash_columns=('served_at', 'ad_unit', 'line_item', 'creative', 'content_id'),
    rules=(
        Rule('clicks are at most the impressions', 'clicks > impressions'),
        Rule('revenue comes with impressions', 'revenue_usd > 0 and impressions = 0'),
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in (CMS_ARTICLES, GA4_EVENTS, GAM_DELIVERY)}
