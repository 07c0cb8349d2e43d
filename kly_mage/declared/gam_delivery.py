"""Delivery of Google Ad Manager."""

from kly_mage.declared.base import Column, Finality, Freshness, Plausible, Rule, Source, Volume

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
    # Data Transfer files; the number is that of the network.
    exports=('NetworkImpressions_#', 'NetworkBackfillImpressions_#', 'NetworkClicks_#', 'NetworkBackfillClicks_#'),
    volume=Volume(),
    freshness=Freshness(),
    finality=Finality(of_next_month=2),
    # Sponsors pay dear, but nobody two dollars for an impression; a file in micros says that of nearly all.
    plausible=Plausible(money='revenue_usd', per='impressions', most=2_000),
    rules=(
        Rule('clicks are at most the impressions', 'impressions > 0 and clicks > impressions'),
        Rule('revenue comes with impressions', 'revenue_usd > 0 and impressions = 0'),
        Rule(
            'revenue is no millionth of what is paid: units taken for micros',
            'revenue_usd > 0 and impressions >= 1000 and revenue_usd * 1000000 < impressions',
        ),
    ),
)
