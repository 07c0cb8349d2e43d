"""Everything BigQuery: its tables, loads, marts and what is asked of gold, as scripts of GoogleSQL."""
