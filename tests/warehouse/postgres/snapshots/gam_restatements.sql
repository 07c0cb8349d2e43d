create or replace view gold.gam_restatements as
select
    _partition_date as "served_date",
    _load_id as "load_id",
    max(_updated_at) as "restated_at",
    count(*) filter (where sign > 0) as "count_rows",
    sum(sign * "impressions") as "impressions",
    sum(sign * "clicks") as "clicks",
    sum(sign * "revenue_usd") as "revenue_usd"
from bronze."gam_delivery_corrections"
group by _partition_date, _load_id;
comment on view gold.gam_restatements is 'One row per served_date and load that restated it: by how much what counts has changed. Empty unless restatements apply.';
comment on column gold.gam_restatements."served_date" is 'Local day of the delivery.';
comment on column gold.gam_restatements."load_id" is 'The load that brought the newer versions, see ops.loads.';
comment on column gold.gam_restatements."restated_at" is 'When that was.';
comment on column gold.gam_restatements."count_rows" is 'Rows restated.';
comment on column gold.gam_restatements."impressions" is 'By how much impressions has changed.';
comment on column gold.gam_restatements."clicks" is 'By how much clicks has changed.';
comment on column gold.gam_restatements."revenue_usd" is 'By how much revenue_usd has changed.';
