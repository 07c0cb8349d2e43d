"""Sites: see ``groups``."""

from kly_mage.dashboard.groups import show

show('sites')
