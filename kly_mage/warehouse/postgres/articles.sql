-- Grain: one row per article. Inputs: bronze.cms_articles and its registry, which knows of which article each version is and
-- when it was delivered last (an article edited and edited back has two versions and three deliveries).

create or replace view gold.articles as
with latest as (
    select distinct on (delivery.content_id)
        delivery.content_id,
        delivery._hashrow,
        delivery._updated_at
    from bronze.cms_articles_hashrow as delivery
    -- The order of delivery: by file, its name in byte order, and line.
    -- A file delivered anew under its old name has its rows in the same places: of two, what came in later counts.
    order by
        delivery.content_id asc,
        delivery._delivered_at desc,
        delivery._file desc,
        delivery._line desc,
        delivery._updated_at desc,
        delivery._hashrow asc
)

-- The article is the registry's: who asks for some of them looks up their versions there.
select
    latest.content_id,
    article.site,
    article.title,
    article.author,
    article.section,
    article.publish_timestamp,
    article._updated_at
from latest
inner join bronze.cms_articles as article
    -- The first leads to the partition, the second to the row.
    on
        latest._updated_at = article._updated_at
        and latest.content_id = article.content_id
        and latest._hashrow = article._hashrow;
comment on view gold.articles is 'One row per article: the version delivered last.';
comment on column gold.articles.content_id is 'The article.';
comment on column gold.articles.site is 'The site that published it.';
comment on column gold.articles.title is 'Headline.';
comment on column gold.articles.author is 'Author.';
comment on column gold.articles.section is 'Section of the site.';
comment on column gold.articles.publish_timestamp is 'When it was published; NULL if the CMS does not say.';
comment on column gold.articles._updated_at is 'When this version was first ingested.';
