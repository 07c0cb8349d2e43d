"""Corrections of Mage 0.9.80, put into a process before Mage works in it.

Mage has no setting for any of them. Each names the place upstream that it corrects; who may pass is in ``guard``.
"""

import importlib
import logging
import re
import sys
import threading
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any

from kly_mage.common.settings import REPOSITORY, UTC
from kly_mage.mage import run_queue, sql_blocks
from kly_mage.mage.pipeline_file import Yaml

VERSION = '0.9.80'
"""The release of ``mage-ai`` whose code was read for every correction here; ``self_test`` lets no other start."""

REPORTER = 'report_failure'
"""The callback that tells of a failure, of the blocks it is wired to."""

# Every run is a fork of the scheduler: what is imported there costs a run nothing (two seconds, measured). Not our own
# modules: an edited one has to count from the next run on.
PRELOADED = ('mage_ai.io.postgres', 'pandas', 'polars', 'polars_hash', 'pyarrow.csv', 'pgpq', 'xxhash')


_DAY = re.compile(r'[12]\d{3}-?[01]\d-?[0-3]\d([T ][\d:.+-]*Z?)?')
_CORRECTING = threading.Lock()  # the lanes of `mage run` are threads


def correct() -> None:
    """Put the corrections of triggers, pipelines, callbacks, retries and SQL blocks into this process, once.

    The server, its scheduler and its kernel call it before they work, ``mage run`` has it called by its first exporter.
    """
    from mage_ai.data_preparation.models import pipeline as pipelines

    with _CORRECTING:
        if isinstance(pipelines.yaml, Yaml):
            return
        # A pipeline that is saved keeps its metadata.yaml as a person writes it. Corrects what
        # mage_ai/data_preparation/models/pipeline.py: Pipeline.to_dict_base adds, and how it is dumped.
        pipelines.yaml = Yaml()
        _call_back_for_failures_only()
        _let_new_triggers_wait()
        _end_where_trying_again_is_in_vain()
        sql_blocks.correct()
        _log_into_the_block()
        show_what_is_no_secret()
        # pandas asks Mage's SQL blocks for SQLAlchemy; people who run a block can do nothing about that.
        warnings.filterwarnings('ignore', message='pandas only supports SQLAlchemy', category=UserWarning)


def correct_run() -> None:
    """For ``mage run``, which reads no line of the project before its first block; in a process without Mage, nothing."""
    if 'mage_ai.data_preparation.models.pipeline' in sys.modules:
        correct()


def _call_back_for_failures_only() -> None:
    """For a success, Mage would read the block's whole output into memory to call nothing.

    Corrects ``mage_ai/data_preparation/models/block/__init__.py: CallbackBlock.execute_callback``.
    """
    from mage_ai.data_preparation.models.block import CallbackBlock

    execute = CallbackBlock.execute_callback

    def on_failure(self: Any, callback: str, *args: Any, **kwargs: Any) -> None:
        if callback == 'on_failure':
            execute(self, callback, *args, **kwargs)

    CallbackBlock.execute_callback = on_failure


def _report_every_block() -> None:
    """A block or pipeline that somebody adds in the editor has no callback yet; that it fails is told all the same.

    Adds to ``mage_ai/data_preparation/executors/block_executor.py: BlockExecutor.execute_callback``.
    """
    from mage_ai.data_preparation.executors.block_executor import BlockExecutor

    execute = BlockExecutor.execute_callback

    def reporting(self: Any, callback: str, *args: Any, **kwargs: Any) -> None:
        execute(self, callback, *args, **kwargs)
        if callback == 'on_failure' and REPORTER not in self.block.callback_block_uuids:
            from kly_mage.mage import alerts  # in the run, not in the scheduler: see PRELOADED

            known = {'pipeline_uuid': self.pipeline.uuid, 'parent_block_uuid': self.block.uuid, 'logger': self.logger}
            alerts.report({**(self.block.global_vars or {}), **kwargs['global_vars'], **kwargs['callback_kwargs'], **known})

    BlockExecutor.execute_callback = reporting


def _let_new_triggers_wait() -> None:
    """A trigger seen for the first time waits for its next time, without a run at once or a note in ``triggers.yaml``.

    Corrects ``mage_ai/orchestration/db/models/schedules.py: PipelineSchedule.create_or_update_batch``
    (https://github.com/mage-ai/mage-ai/issues/4897).
    """
    from mage_ai.orchestration.db.models.schedules import PipelineSchedule

    update_batch = PipelineSchedule.create_or_update_batch.__func__

    def waiting(cls: Any, triggers: list[Any]) -> None:
        known = {
            (row.pipeline_uuid, row.name): row.last_enabled_at
            for row in PipelineSchedule.repo_query.filter(PipelineSchedule.name.in_([t.name for t in triggers])).all()
        }
        for trigger in triggers:
            if str(trigger.status) == 'active' and str(trigger.schedule_type) == 'time':
                if trigger.schedule_interval == '@once':
                    continue
                since = known.get((trigger.pipeline_uuid, trigger.name)) or datetime.now(UTC)
                written = trigger.last_enabled_at
                written = written.replace(tzinfo=UTC) if written and not written.tzinfo else written
                trigger.last_enabled_at = max(since, written) if written else since
        update_batch(cls, triggers)

    PipelineSchedule.create_or_update_batch = classmethod(waiting)


class _InVain(BaseException):
    """Carries an error past Mage's ``except Exception``."""


def _end_where_trying_again_is_in_vain() -> None:
    """A block whose error stays (no right, no room, a wrong declaration) fails at once, whatever its ``retry_config``.

    Corrects ``mage_ai/shared/retry.py:30: retry``, which ``mage_ai/data_preparation/executors/block_executor.py:607``
    imports for each block and which tries every exception again.
    """
    from mage_ai.shared import retry as retries

    retry = retries.retry

    def retry_what_may_pass(*args: Any, **kwargs: Any) -> Any:
        def decorated(function: Any) -> Any:
            def once(*args: Any, **kwargs: Any) -> Any:
                try:
                    return function(*args, **kwargs)
                except Exception as error:
                    from kly_mage.warehouse.postgres.retry import stays  # by the run: see PRELOADED

                    if stays(error):
                        raise _InVain from error
                    raise

            def several_times(*args_: Any, **kwargs_: Any) -> Any:
                try:
                    return retry(*args, **kwargs)(once)(*args_, **kwargs_)
                except _InVain as end:
                    error = end.__cause__ or end
                raise error

            return several_times

        return decorated

    retries.retry = retry_what_may_pass


class _BlockLog(logging.StreamHandler[Any]):
    """Writes where a block's own output goes: Mage puts ``sys.stderr`` in the place of its log, block by block."""

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        pass


def _log_into_the_block() -> None:
    """What the project warns of (who is waited for, what is tried again) stands in the log of the block it concerns."""
    logging.getLogger('kly_mage').addHandler(_BlockLog())


def show_what_is_no_secret() -> None:
    """Mage masks what equals the value of any variable of eight characters: ``START=2025-10-01`` hid that day everywhere.

    Corrects ``mage_ai/shared/security.py: filter_out_values``, for days, and its list of variables that are shown.
    """
    from mage_ai.shared import security

    mask = security.filter_out_values
    security.WHITELISTED_ENV_VARS |= {'ENV', 'KLY_TIMEZONE', 'POSTGRES_DBNAME', 'POSTGRES_USER', 'TZ'}
    security.filter_out_values = lambda log, values: mask(log, [value for value in values if not _DAY.fullmatch(value)])


def keep_tracebacks_in() -> None:
    """An error tells the stack and the paths of this machine to those who are signed in, and to nobody else.

    Corrects ``mage_ai/server/api/base.py: BaseHandler.write_error``, for what ``guard`` lets through to Mage.
    """
    from mage_ai.server.api.base import BaseHandler

    write_error = BaseHandler.write_error

    def plain(self: Any, status_code: int, **kwargs: Any) -> None:
        if getattr(self.request, 'signed_in', False):
            write_error(self, status_code, **kwargs)
        else:
            self.finish({'error': {'code': status_code, 'message': 'This does not work; the log of the server says why.'}})

    BaseHandler.write_error = plain


class _Loaded:
    """Stands in for ``importlib``: what is imported already; of any other module, classes without methods."""

    @staticmethod
    def import_module(name: str) -> Any:
        return sys.modules.get(name) or _Loaded()

    def __getattr__(self, name: str) -> type:
        return object


def complete_from_what_is_loaded() -> None:
    """What the editor completes while one types comes from the text of files, and the methods of classes that are loaded.

    For those methods Mage imports all of its connectors: while it does (twenty seconds, and once per server), no page is
    answered. It makes a module's name of what a path has behind the working folder, too: of a ``.venv`` below it one that
    no import takes, and the log had 464 tracebacks for each page that was opened.

    Corrects ``mage_ai/autocomplete/utils.py: extract_classes_from_file``.
    """
    from mage_ai.autocomplete import utils

    extract = utils.extract_classes_from_file

    async def extract_from(path: str, **kwargs: Any) -> Any:
        of_mage = path.startswith(f'{utils.root_path}/')
        return await extract(path, **kwargs | {'cwd': utils.root_path if of_mage else str(REPOSITORY)})

    utils.extract_classes_from_file, utils.importlib = extract_from, _Loaded


def show_no_day_that_a_backfill_does_not_load() -> None:
    """A backfill's page shows the pipeline's ``run_date``, which none of its runs goes by: each has its own day.

    Adds to ``mage_ai/api/presenters/BackfillPresenter.py: BackfillPresenter.present``; what is kept stays as it is.
    """
    from mage_ai.api.presenters.BackfillPresenter import BackfillPresenter
    from mage_ai.data_preparation.variable_manager import get_global_variables

    present = BackfillPresenter.present

    def without_it(self: Any, **kwargs: Any) -> Any:
        shown = present(self, **kwargs)
        if 'run_date' in (get_global_variables(self.model.pipeline_uuid) or {}):
            shown['variables'] = {**(shown.get('variables') or {}), 'run_date': 'one per run'}  # there is room for no more
        return shown

    BackfillPresenter.present = without_it


def correct_scheduler() -> None:
    """Have the scheduler's process corrected as well, also if it is not forked.

    Replaces ``mage_ai/server/scheduler_manager.py: run_scheduler``.
    """
    from mage_ai.server import scheduler_manager

    _mage_scheduler()
    scheduler_manager.run_scheduler = run_scheduler


def run_scheduler() -> None:
    """The scheduler's process: a function of this module, which a process that is not forked can import."""
    correct()
    _report_every_block()
    run_queue.correct()
    for name in PRELOADED:
        importlib.import_module(name)
    _mage_scheduler()()


def _mage_scheduler() -> Callable[[], None]:
    """Mage's own ``run_scheduler``, kept before it was replaced."""
    from mage_ai.server import scheduler_manager

    if not hasattr(scheduler_manager, 'mage_run_scheduler'):
        scheduler_manager.mage_run_scheduler = scheduler_manager.run_scheduler
    found: Callable[[], None] = scheduler_manager.mage_run_scheduler
    return found
