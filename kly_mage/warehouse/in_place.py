"""Rows that stand in the warehouse before they are loaded: blocks hand on that they do, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kly_mage.landing.files import LandingFile


@dataclass(frozen=True)
class InPlace:
    """The deliveries of a source that are tables of the warehouse.

    Attributes:
        files: these, as if they were files.
        undeclared: the columns of their rows that are not declared.
    """

    files: list[LandingFile]
    undeclared: list[str]
