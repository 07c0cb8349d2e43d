"""``python -m kly_mage COMMAND``: see ``kly_mage.cli.main``."""

from kly_mage.cli.main import main, run_as_process

__all__ = ['main']

if __name__ == '__main__':
    run_as_process()
