"""Where the rows are kept: one room per engine."""
