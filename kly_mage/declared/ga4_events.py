"""Events of Google Analytics 4."""

from collections.abc import Collection

from kly_mage.declared.base import AgainstArticle, Column, Finality, Freshness, Rule, Source, Volume

# What GA4 collects by itself and what it recommends to publishers; a name outside is mostly a typing error in a tag.
_EVENT_NAMES = (
    'add_payment_info add_shipping_info add_to_cart add_to_wishlist ad_click ad_impression begin_checkout click'
    ' file_download first_visit form_start form_submit generate_lead login page_view purchase refund remove_from_cart'
    ' scroll search select_content select_item select_promotion session_start share sign_up user_engagement'
    ' video_complete video_progress video_start view_cart view_item view_item_list view_promotion view_search_results'
)

IDENTITY = ('stream_id', 'batch_page_id', 'batch_ordering_id', 'batch_event_index')
"""Columns of Google's export beside ours: the stream, and where an event stood on its page and in its batch; two events of
one batch may agree in all else, to the microsecond. Older exports have the latter three as parameters, or not at all."""

GA4_EVENTS = Source(
    name='ga4_events',
    grain='One row per distinct GA4 event.',
    columns=(
        Column('event_timestamp', 'timestamp', 'When the event happened.', required=True),
        Column('event_name', 'text', 'GA4 event name, such as page_view or user_engagement.', required=True),
        Column('user_pseudo_id', 'id', 'GA4 client id; NULL when consent was denied.', person=True),
        Column('session_id', 'id', 'ga_session_id: numbered per user, so a session is (user_pseudo_id, session_id).'),
        Column('content_id', 'id', 'The article the event belongs to; NULL on pages without one.'),
        Column('site', 'text', 'Host of the page.'),
        Column('page_location', 'text', 'URL of the page.'),
        Column('device_category', 'text', 'mobile, desktop, tablet or smart tv.'),
        Column('country', 'text', 'Country of the visitor, as GA4 names it.'),
        Column('traffic_source', 'text', 'Where the visitor came from, such as google or (direct).'),
    ),
    day_column='event_timestamp',
    # The tables of the BigQuery export: as the day goes on, and what Google makes of the day.
    exports=('events_intraday', 'events_fresh', 'events'),
    complete=('events_fresh', 'events'),
    key_columns=(
        *('event_timestamp', 'event_name', 'user_pseudo_id', 'session_id'),
        *IDENTITY,
    ),
    volume=Volume(),
    freshness=Freshness(),
    finality=Finality(days=3),  # Google writes a daily table again for 72 hours
    rules=(
        Rule(
            'an event has a name GA4 knows',
            'event_name not in ({})'.format(', '.join(f"'{name}'" for name in _EVENT_NAMES.split())),
        ),
        Rule(
            'an article is published before its events',
            AgainstArticle('event_timestamp', '<', 'publish_timestamp'),
        ),
    ),
)


def is_export(names: Collection[str]) -> bool:
    """Whether columns are those of GA4's export: nobody else has an event's parameters in one column."""
    return {'event_timestamp', 'event_name', 'event_params'} <= set(names)


def may_be_exported(names: Collection[str]) -> bool:
    """Whether undeclared columns may be those of an export; a table of somebody else that has them loses nothing by it."""
    return set(IDENTITY[1:]) <= set(names)
