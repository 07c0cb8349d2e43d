"""The benchmark: the project's own command against plain SQL on the same server, see ``python -m bench --help``."""
