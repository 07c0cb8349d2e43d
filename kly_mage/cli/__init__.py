"""The commands of ``python -m kly_mage``: one module each, whose ``run(options)`` gives the exit code."""
