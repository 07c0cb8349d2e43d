"""The landing zone: which files there are, and how they are read."""
