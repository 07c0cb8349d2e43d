-- The days on which the numbers of a source are not final yet.
select
    finality.day,
    string_agg(finality.source, ', ' order by finality.source) as sources,
    max(finality.final_on) as final_on
from gold.finality as finality
where finality.state = 'provisional' and finality.day between @start and @end
group by finality.day
order by finality.day
