"""PostgreSQL: connection, embedded server, DDL, loads, ledger."""
