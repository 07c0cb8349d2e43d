"""The part of a load's script that is about days delivered again whole: what counts of them is what the newest delivery has.

Which delivery is in force is noted in ``ops.deliveries``, a row per step, the greatest of which counts. Rows of an older one
are superseded as they come. What a newest whole delivery holds no more is found in the registry, which knows of each row the
day of its file: bronze is read only where something has ceased to count. As ``warehouse/postgres/deliveries.py``.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from kly_mage.common.window import Window
from kly_mage.declared.base import Source
from kly_mage.landing.deliveries import Delivery, delivery_of, rank
from kly_mage.landing.files import LandingFile
from kly_mage.warehouse.bigquery.counting import gone, log, log_columns
from kly_mage.warehouse.bigquery.text import identifier, literal

PARAMETERS = ('delivery_files', 'delivery_days', 'deliveries', 'place_files', 'place_days', 'place_kinds', 'places')
_MET = "_place in ('new', 'already_loaded', 'duplicate')"


@dataclass(frozen=True)
class Delivered:
    """The deliveries of whole days whose files a load has read.

    Attributes:
        files: what each file is a part of.
        places: by day of the export and local day, the newest of them that holds it whole.
    """

    files: dict[str, Delivery]
    places: dict[tuple[date, date], Delivery]

    @classmethod
    def of(
        cls, source: Source, read: Collection[str], files: Iterable[LandingFile], days: Window, late_days: int
    ) -> 'Delivered':
        """Of the files that were read, ``files`` have the days whose rows they may hold."""
        found = {name: delivery for name in read if (delivery := delivery_of(source, name))}
        places: dict[tuple[date, date], Delivery] = {}
        for file in files:
            delivery = found.get(file.name)
            for day in (file.days(late_days) or ()) if delivery else ():
                if delivery and day in days and delivery.holds_whole(day):
                    place = delivery.place(day)
                    places[place] = max(delivery, places.get(place, delivery), key=lambda each: each.order)
        return cls(found, places)

    @property
    def utc_days(self) -> tuple[date, date] | None:
        """The first and the last UTC day of rows of these places; None if there is none."""
        days = [day for _, day in self.places]
        return (min(days) - timedelta(days=1), max(days) + timedelta(days=1)) if days else None

    def values(self) -> dict[str, list[str]]:
        """The parameters of the script (``PARAMETERS``)."""
        told = [
            [*self.files],
            [str(each.day) for each in self.files.values()],
            [_order(each) for each in self.files.values()],
            [str(of) for of, _ in self.places],
            [str(day) for _, day in self.places],
            [each.kind for each in self.places.values()],
            [_order(each) for each in self.places.values()],
        ]
        return dict(zip(PARAMETERS, told, strict=True))


def parts(
    source: Source,
    load_id: int,
    delivered: Delivered,
    *,
    staged: Collection[str],
    known: Collection[str],
) -> dict[str, str]:
    """The places of the script that are about what counts; empty texts where nothing of the source is corrected.

    Args:
        staged: the columns of the staged rows that are of the files.
        known: those of bronze beside them.
    """
    found = {'variables': '', 'deliveries': '', 'turned': '', 'delivered': f'staging.{source.name}_{load_id}', 'correct': ''}
    found |= dict.fromkeys(('replaced', 'withdrawn', 'returned'), '0')
    if source.holds_whole_days:
        found |= _of_deliveries(source, load_id, delivered, staged, known)
    if source.holds_whole_days or source.applies_restatements:
        for place, why in (('replaced', 'superseded'), ('withdrawn', 'withdrawn'), ('returned', 'returned')):
            found[place] = f"(select countif(why = '{why}') from {log(source)} where _updated_at = v_stamp)"
    return found


def _order(delivery: Delivery) -> str:
    """Where a delivery stands among those of a place, as a text: the greatest is the newest."""
    return f'{delivery.day:%Y%m%d}{delivery.rank:02}'


def _of_deliveries(
    source: Source, load_id: int, delivered: Delivered, staged: Collection[str], known: Collection[str]
) -> dict[str, str]:
    ranks = ' '.join(f"when {literal(kind)} then '{rank(source, kind):02}'" for kind in dict.fromkeys(source.exports))
    own = f"when {literal(source.name)} then '{rank(source, source.name):02}'"
    file_day = 'of_file.file_day' if source.whole_days is None else 'if(of_file.file is null, null, staged._partition_date)'
    days = delivered.utc_days
    near = f"known._utc_day between date '{days[0]}' and date '{days[1]}'" if days else 'false'
    kept = [name for name in source.key_columns if name in staged or name in known]
    names = log_columns(source)
    return {
        'variables': 'declare v_first timestamp;\ndeclare v_last timestamp;\n',
        'deliveries': _DELIVERIES.format(
            order=f"concat(format_date('%Y%m%d', named_day), case kind {ranks} {own} end)", source=literal(source.name)
        ),
        'delivered': _DELIVERED.format(name=source.name, load_id=load_id, file_day=file_day),
        'turned': _TURNED.format(
            name=source.name,
            near=near,
            met=_MET,
            gone=gone(source, '_partition_date between @start and @end'),
        ),
        'correct': _CORRECT.format(
            name=source.name,
            source=literal(source.name),
            log=log(source),
            met=_MET,
            columns=', '.join(map(identifier, names)),
            stored=', '.join(f'stored.{identifier(name)}' for name in names),
            placed=', '.join(f'placed.{identifier(name)}' for name in names),
            key=_key([identifier(name) if name in staged else 'null' for name in kept]),
            key_of_stored=_key([f'stored.{identifier(name)}' for name in kept]),
        ),
    }


def _key(values: list[str]) -> str:
    """What two versions of one row share, as a text."""
    return f'to_json_string([{", ".join(f"cast({value} as string)" for value in values)}])'


def parameters(delivered: Delivered, source: Source) -> dict[str, Any]:
    """The values of the script's parameters that are about deliveries; none where it has none."""
    return delivered.values() if source.holds_whole_days else {}


_DELIVERIES = """
create temp table of_files as
select file, cast(@delivery_days[offset(place)] as date) as file_day, @deliveries[offset(place)] as delivery
from unnest(@delivery_files) as file with offset as place;

-- The days of the export that this load has read whole, by local day.
create temp table whole as
select
    cast(@place_files[offset(place)] as date) as file_day, cast(place_day as date) as day,
    @place_kinds[offset(place)] as kind, @places[offset(place)] as delivery
from unnest(@place_days) as place_day with offset as place;

-- The newest of them and of those before.
create temp table in_force as
select file_day, day, max(delivery) as delivery, max(noted) as noted
from (
    select file_day, day, delivery, cast(null as string) as noted from whole
    union all
    select file_day, day, {order}, {order} from ops.deliveries
    where source = {source} and day between @start and @end
)
group by file_day, day;
"""
_DELIVERED = """(
        select staged.*, {file_day} as _file_day, ifnull(of_file.delivery < in_force.delivery, false) as _is_superseded
        from staging.{name}_{load_id} as staged
        left join of_files as of_file on staged._file = of_file.file
        left join in_force on in_force.day = staged._partition_date and in_force.file_day = {file_day}
    )"""
_TURNED = """
create temp table turned as
with gone as (
    select * from {gone}
),

met as (
    select distinct _hashrow from placed where {met}
)

select known._hashrow, known._file_day, known._partition_date as day, known._updated_at, -1 as sign
from bronze.{name}_hashrow as known
inner join whole on known._file_day = whole.file_day and known._partition_date = whole.day
inner join in_force
    on whole.file_day = in_force.file_day and whole.day = in_force.day and whole.delivery = in_force.delivery
left join met on known._hashrow = met._hashrow
left join gone on known._hashrow = gone._hashrow
where {near} and met._hashrow is null and gone._hashrow is null
union all
select gone._hashrow, gone._file_day, cast(null as date), cast(null as timestamp), 1
from gone inner join met on gone._hashrow = met._hashrow;
"""
_CORRECT = """
if exists (select 1 from turned) then
set v_first = (select min(_updated_at) from turned);
set v_last = (select max(_updated_at) from turned);

insert into {log} ({columns}, _file_day, sign, why, _updated_at, _load_id)
with counting as (
    select distinct {key} as key from placed where {met}
)

select {stored}, turned._file_day, -1, if(counting.key is null, 'withdrawn', 'superseded'), v_stamp, v_load_id
from bronze.{name} as stored
inner join turned on stored._hashrow = turned._hashrow and turned.sign < 0
left join counting on {key_of_stored} = counting.key
where stored._updated_at >= v_first and stored._updated_at <= v_last
union all
select {placed}, turned._file_day, 1, 'returned', v_stamp, v_load_id
from (
    select * from placed where {met} and true qualify row_number() over (partition by _hashrow order by _seq) = 1
) as placed
inner join turned on placed._hashrow = turned._hashrow and turned.sign > 0;
end if;

insert into ops.deliveries (source, file_day, day, kind, named_day, load_id)
select {source}, whole.file_day, whole.day, whole.kind, parse_date('%Y%m%d', left(whole.delivery, 8)), v_load_id
from whole inner join in_force on whole.file_day = in_force.file_day and whole.day = in_force.day
where in_force.noted is null or whole.delivery > in_force.noted;
"""
