-- Grain: one row per article. Inputs: bronze.cms_articles and its registry, which knows when each version was
-- delivered last (an article edited and edited back has two versions and three deliveries).

create or replace view gold.articles as
select distinct on (article.content_id)
    article.content_id,
    article.site,
    article.title,
    article.author,
    article.section,
    article.publish_timestamp,
    article._updated_at
from bronze.cms_articles as article
inner join bronze.cms_articles_hashrow as delivery
    on article._hashrow = delivery._hashrow
-- The order of delivery: by file, its name in byte order, and line.
-- A file delivered anew under its old name has its rows in the same places: of two, what came in later counts.
order by
    article.content_id asc,
    delivery._delivered_at desc,
    delivery._file desc,
    delivery._line desc,
    article._updated_at desc,
    article._hashrow asc;
comment on view gold.articles is 'One row per article: the version delivered last.';
comment on column gold.articles.content_id is 'The article.';
comment on column gold.articles.site is 'The site that published it.';
comment on column gold.articles.title is 'Headline.';
comment on column gold.articles.author is 'Author.';
comment on column gold.articles.section is 'Section of the site.';
comment on column gold.articles.publish_timestamp is 'When it was published; NULL if the CMS does not say.';
comment on column gold.articles._updated_at is 'When this version was first ingested.';
