"""A pipeline's ``metadata.yaml`` as a person writes it: Mage saves all it knows, a reader needs a tenth of that.

Mage 0.9.80 writes every attribute of every block whenever a page is saved or a block has run, defaults and the state of the
last run too (``Pipeline.save`` and ``save_async`` in ``data_preparation/models/pipeline.py``). What it fills in by itself
when it reads the file (``Pipeline.load_config``) is left out here, so that opening, running and saving change nothing.
"""

from typing import Any

import yaml

# What a pipeline and a block have, in the order in which a person reads it; anything else follows.
_PIPELINE_ORDER = (
    'uuid', 'name', 'type', 'description', 'variables', 'run_pipeline_in_one_process', 'concurrency_config',
    'blocks', 'callbacks', 'conditionals', 'widgets',
)  # fmt: skip
_BLOCK_ORDER = ('uuid', 'name', 'type', 'language', 'upstream_blocks', 'downstream_blocks', 'configuration')
_LISTS_OF_BLOCKS = ('blocks', 'callbacks', 'conditionals', 'widgets')
# Mage's own values where the file says nothing.
_PIPELINE_DEFAULTS = {'cache_block_output_in_memory': False, 'executor_count': 1, 'settings': {'triggers': None}}
_BLOCK_DEFAULTS = {'executor_type': 'local_python'}
# Not the pipeline's: the path of this machine, and how the last run in the editor went. A block without a status may run;
# one whose upstream block has not run yet says so itself.
_NOT_KEPT = ('variables_dir', 'status', 'all_upstream_blocks_executed')


def slim(pipeline: dict[str, Any]) -> dict[str, Any]:
    """The pipeline without what Mage fills in by itself.

    Args:
        pipeline: what ``Pipeline.to_dict`` gives, or the parsed file.
    """
    kept = _without_defaults(pipeline, _PIPELINE_DEFAULTS, _PIPELINE_ORDER)
    for name in _LISTS_OF_BLOCKS:
        if name in kept:
            kept[name] = [_without_defaults(block, _BLOCK_DEFAULTS, _BLOCK_ORDER) for block in kept[name]]
    return kept


def dump(data: Any, *args: Any, **kwargs: Any) -> Any:
    """``yaml.dump``, with pipelines as a person writes them and everything else as it is."""
    if isinstance(data, dict) and 'blocks' in data and 'uuid' in data:
        return yaml.dump(slim(data), *args, **kwargs, sort_keys=False, default_flow_style=None, width=125)
    return yaml.dump(data, *args, **kwargs)


class Yaml:
    """PyYAML for the module that saves pipelines: as it is, but for ``dump``."""

    dump = staticmethod(dump)

    def __getattr__(self, name: str) -> Any:
        return getattr(yaml, name)


def _without_defaults(values: dict[str, Any], defaults: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    names = [name for name in order if name in values] + [name for name in values if name not in order]
    return {
        name: values[name]
        for name in names
        if name not in _NOT_KEPT
        and values[name] not in (None, {}, [])
        and values[name] != defaults.get(name)
        and not (name == 'name' and values[name] == values.get('uuid'))
    }
