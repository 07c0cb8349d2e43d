"""Sections: see ``groups``."""

from kly_mage.dashboard.groups import show

show('sections')
