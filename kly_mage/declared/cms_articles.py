"""Articles, as the CMS exports them."""

from kly_mage.declared.base import Column, Rule, Source

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
