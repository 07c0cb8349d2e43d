"""Article performance and ad revenue for a publisher: a Mage project and the package its blocks share."""

__version__ = '1.1.0'
