-- The versions of an article that the CMS has delivered, newest first.
select
    delivery._delivered_at as delivered_at,
    article.title,
    article.site,
    article.section,
    article.author,
    article.publish_timestamp,
    delivery._file as file,
    delivery._line as line,
    article._load_id as load_id
from bronze.cms_articles as article
inner join bronze.cms_articles_hashrow as delivery
    on article._hashrow = delivery._hashrow
where article.content_id = @article
order by delivered_at desc, file desc, line desc
