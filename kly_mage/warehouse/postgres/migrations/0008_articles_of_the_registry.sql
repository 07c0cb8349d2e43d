-- The registry of articles says of which article each version is: who asks for some articles looks up these alone.

do $$
begin
    if to_regclass('bronze.cms_articles_hashrow') is not null then
        alter table bronze.cms_articles_hashrow add column if not exists content_id text;
        update bronze.cms_articles_hashrow as known
        set content_id = article.content_id
        from bronze.cms_articles as article
        where known._hashrow = article._hashrow;
    end if;
end $$;
