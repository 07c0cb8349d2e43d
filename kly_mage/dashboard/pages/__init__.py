"""One file per page: what it asks, and how it lays that out. Each runs from top to bottom whenever something is chosen."""
