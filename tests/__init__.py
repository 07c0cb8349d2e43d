"""The tests. Those on PostgreSQL 18 run by ``make test``; ``tests/README.md`` says how to run parts of them."""
