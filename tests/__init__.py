"""The tests. Fast ones run by ``make test``; ``tests/README.md`` says how to run parts of them."""
