"""The pipelines without Mage: the same blocks, in the order their ``metadata.yaml`` wires them."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any

import polars as pl
import yaml

from kly_mage.common.errors import PipelineError, UsageError, WarehouseError, first_line
from kly_mage.common.settings import PROJECT, load_settings
from kly_mage.common.timer import seconds_by_timer, timer
from kly_mage.common.window import Window
from kly_mage.declared import SOURCES
from kly_mage.landing.files import files_for
from kly_mage.landing.left_out import refuse_all
from kly_mage.loads.found import find_files
from kly_mage.loads.handed_on import to_pandas, typed
from kly_mage.rows.frames import Frames
from kly_mage.warehouse.choice import warehouse
from kly_mage.warehouse.in_place import InPlace

logger = logging.getLogger('kly_mage')
_FOLDERS = {'data_loader': 'data_loaders', 'transformer': 'transformers', 'data_exporter': 'data_exporters'}
_EXPORTERS = {f'export_{name}' for name in SOURCES}
_LANES = _EXPORTERS | {f'{step}_{name}' for step in ('load', 'hash') for name in SOURCES}
_TAKERS = ('blocks', 'conditionals', 'widgets')  # of a pipeline; callbacks are given no rows
_OURS = _EXPORTERS | {f'hash_{name}' for name in SOURCES}


@dataclass(frozen=True)
class Block:
    """One block of the pipelines: ``uuid`` is its file, ``lanes`` its upstream blocks in each pipeline that has it."""

    uuid: str
    type: str
    language: str
    lanes: tuple[tuple[str, ...], ...]

    @property
    def upstream(self) -> tuple[str, ...]:
        """Its upstream blocks in all pipelines."""
        return tuple(sorted({uuid for lane in self.lanes for uuid in lane}))

    def function(self) -> Callable[..., Any]:
        """The Python block's own function: the first that its decorator marks, whatever it is called, as Mage finds it.

        Raises:
            PipelineError: the block marks none.
        """
        path, marked = PROJECT / _FOLDERS[self.type] / f'{self.uuid}.py', list[Callable[..., Any]]()

        def mark(function: Callable[..., Any]) -> Callable[..., Any]:
            marked.append(function)
            return function

        # A block has its decorators as globals, and is read anew for each run: an edited one counts at once.
        given = {'__name__': path.stem, '__file__': str(path), self.type: mark, 'test': lambda function: function}
        exec(compile(path.read_text('utf-8'), path, 'exec'), given)  # noqa: S102 -- the project's own code
        if not marked:
            raise PipelineError(f'{path.parent.name}/{path.name} has no function that is marked with @{self.type}')
        return marked[0]

    def sql(self) -> str:
        """The SQL block's text."""
        return (PROJECT / _FOLDERS[self.type] / f'{self.uuid}.sql').read_text('utf-8')


def names() -> list[str]:
    """The pipelines of the project."""
    return sorted(path.parent.name for path in PROJECT.glob('pipelines/*/metadata.yaml'))


def blocks(pipelines: Iterable[str]) -> list[Block]:
    """The blocks of these pipelines, each once and after all its upstream blocks; previews and what hangs on them left out.

    Raises:
        PipelineError: there is no such pipeline, or its blocks wait for each other.
    """
    found: dict[str, Block] = {}
    for name in pipelines:
        entries = _entries(name)
        left_out = _previews(entries) | _below_previews(entries)
        for entry in entries:
            if entry['uuid'] in left_out:
                continue
            uuid, lane = entry['uuid'], tuple(entry.get('upstream_blocks') or ())
            lanes = (*found[uuid].lanes, lane) if uuid in found else (lane,)
            found[uuid] = Block(uuid, entry['type'], entry['language'], lanes)
    try:
        order = list(TopologicalSorter({block.uuid: block.upstream for block in found.values()}).static_order())
    except CycleError as error:
        raise PipelineError(f'blocks wait for each other: {" -> ".join(error.args[1])}') from error
    missing = [uuid for uuid in order if uuid not in found]
    if missing:
        raise PipelineError(f'metadata.yaml wires blocks that are not there: {", ".join(missing)}')
    return [found[uuid] for uuid in order]


def _entries(pipeline: str) -> list[dict[str, Any]]:
    path = PROJECT / 'pipelines' / pipeline / 'metadata.yaml'
    if not path.is_file():
        raise PipelineError(f'no pipeline {pipeline}: there are {", ".join(names())}')
    found: list[dict[str, Any]] = _parsed(path.read_text('utf-8'))['blocks']
    return found


@cache
def _parsed(text: str) -> dict[str, Any]:
    """A pipeline's file; a run looks at each several times."""
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    found: dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506 -- safe, both
    return found


def takers() -> dict[str, set[str]]:
    """What takes the output of each block in any pipeline: blocks of all kinds, previews, conditions and charts."""
    found: dict[str, set[str]] = {}
    for name in names():
        pipeline = _parsed((PROJECT / 'pipelines' / name / 'metadata.yaml').read_text('utf-8'))
        for entry in (one for kind in _TAKERS for one in pipeline.get(kind) or ()):
            for uuid in entry.get('upstream_blocks') or ():
                found.setdefault(uuid, set()).add(entry['uuid'])
    return found


def _previews(entries: list[dict[str, Any]]) -> set[str]:
    """The blocks that show in the editor what a mart has built, and those of kinds that only Mage runs (``custom``, R)."""
    shown = {entry['uuid'] for entry in entries if entry['language'] == 'sql' and entry['type'] == 'data_loader'}
    return shown | _kinds_of_mage(entries)


def _kinds_of_mage(entries: list[dict[str, Any]]) -> set[str]:
    return {
        entry['uuid'] for entry in entries if entry['type'] not in _FOLDERS or entry['language'] not in ('python', 'sql')
    }


def _below_previews(entries: list[dict[str, Any]]) -> set[str]:
    """What takes a preview's rows, which only Mage has: the editor hangs a new block on the last one, a preview."""
    previews, below = _previews(entries), set[str]()
    while more := {
        entry['uuid'] for entry in entries if (previews | below).intersection(entry.get('upstream_blocks') or ())
    } - (previews | below):
        below |= more
    return below


def run(
    pipelines: Iterable[str], *, shares: Mapping[str, list[Window]] = MappingProxyType({}), workers: int = 1, **kwargs: Any
) -> dict[str, Any]:
    """Run the blocks of these pipelines once over the days that ``kwargs`` name.

    Loaders give streams, transformers see them frame by frame, each exporter takes its stream in one transaction; SQL
    blocks run once, after everything above them. A block that fails holds up what hangs on it in its own pipeline only.

    Args:
        shares: by source, the days in parts that processes load side by side (``shares.shares``).
        workers: how many of them.

    Returns:
        What each exporter of a source returned, by block.

    Raises:
        Exception: the first failure, after the others were logged and everything else was done.
    """
    outputs: dict[str, Any] = {}
    failures: list[Exception] = []
    chosen = list(pipelines)
    for uuid in sorted(uuid for name in chosen for uuid in _below_previews(_entries(name))):
        logger.warning('block %s takes the rows of a preview, which only Mage has: it is left out here', uuid)
    for uuid in sorted(uuid for name in chosen for uuid in _kinds_of_mage(_entries(name))):
        logger.warning('block %s is of a kind that only Mage runs: it is left out here', uuid)
    for block in blocks(chosen):
        if not any(all(uuid in outputs for uuid in lane) for lane in block.lanes):
            continue
        try:
            inputs = [outputs[uuid] for uuid in block.upstream if uuid in outputs]
            name = block.uuid.partition('_')[2] if block.uuid in _LANES else ''
            if name not in shares:
                outputs[block.uuid] = _run_block(block, inputs, kwargs)
            elif block.type == 'data_exporter':  # in each process the blocks before it, too
                outputs[block.uuid] = _load_shares(name, shares[name], workers, kwargs)
            else:
                outputs[block.uuid] = None
        except (WarehouseError, UsageError):  # it would meet every block
            raise
        except Exception as error:
            failures.append(error)
    logger.debug('seconds by stage: %s', json.dumps(seconds_by_timer()))
    for further in dict.fromkeys(first_line(failure) for failure in failures[1:]):  # one cause, one message
        if further != first_line(failures[0]):
            logger.error('%s', further)
    if failures:
        raise failures[0]
    return {uuid: outputs[uuid] for uuid in outputs if uuid in _EXPORTERS}


def _load_shares(source: str, shares: list[Window], workers: int, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    from kly_mage.loads import side_by_side  # what processes need takes a while to import
    from kly_mage.warehouse.postgres import ledger
    from kly_mage.warehouse.postgres.retry import retrying

    ids = [load['load_id'] for load in side_by_side.work(partial(_lane, source), kwargs, shares, workers)]
    settings = warehouse(load_settings()).reach()
    (together,) = retrying(lambda: ledger.of_loads(settings, ids))
    days = Window(shares[0].start, shares[-1].end)
    near = files_for(find_files(settings, SOURCES[source]), days, settings.late_days)
    refuse_all(near, near, together['left_out'])  # as one load would: here it is all of them together
    return together | {'load_ids': ids}


def _lane(source: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What the exporter of a source makes of its days, from the loader on."""
    found, given = {block.uuid: block for block in blocks(names())}, list[Any]()
    for uuid in (f'load_{source}', f'hash_{source}', f'export_{source}'):
        given = [_run_block(found[uuid], given, dict(kwargs))]
    done: dict[str, Any] = given[0]
    return done


def _run_block(block: Block, inputs: list[Any], kwargs: dict[str, Any]) -> Any:
    logger.debug('block %s', block.uuid)
    if block.language == 'sql':
        with timer(block.uuid):
            return warehouse(load_settings()).refresh(block.uuid, block.sql)
    function = block.function()
    if block.type == 'data_loader':
        return function(*inputs, as_stream=True, **kwargs)
    if block.uuid not in _OURS:
        function = _as_in_mage(block, function)
    if block.type == 'transformer' and len(inputs) == 1 and isinstance(inputs[0], Frames):
        return inputs[0].ahead().map(lambda frame: function(frame, **kwargs))
    return function(*(frames.ahead() if isinstance(frames, Frames) else frames for frames in inputs), **kwargs)


def _as_in_mage(block: Block, function: Callable[..., Any]) -> Callable[..., Any]:
    """A block that somebody has added is given pandas, which Mage's templates are written for.

    A transformer sees the rows slice by slice; what else takes rows gets them all at once, with what memory that takes.
    """

    def work(*inputs: Any, **kwargs: Any) -> Any:
        kinds: dict[str, pl.DataType] = {}
        given = list[Any]()
        for one in inputs:
            if isinstance(one, InPlace):
                raise PipelineError(
                    f'block {block.uuid} takes rows that stay in BigQuery: leave KLY_GA4_DATASET out, or the block'
                )
            rows = pl.concat(one, how='diagonal') if isinstance(one, Frames) else one
            if isinstance(rows, pl.DataFrame):
                kinds |= rows.schema
                rows = to_pandas(rows)
            given.append(rows)
        made = function(*given, **kwargs)
        return typed(made, kinds, block.uuid) if kinds and hasattr(made, 'columns') else made

    return work
