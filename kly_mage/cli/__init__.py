"""The commands of ``python -m kly_mage``, a module each: ``arguments(parser)``, what it takes, and ``run(options)``."""

DONE, FAILED, WRONG_USE, LOOK, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143  # exit codes; the last two as shells have them
