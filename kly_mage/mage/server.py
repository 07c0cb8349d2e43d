"""Mage's server, guarded and corrected: ``python -m kly_mage.mage.server [HOST [PORT]]``.

``guard`` says who may pass, ``sign_in`` who gets a session, ``kernel`` keeps the code that runs to ourselves, ``patches``
corrects what Mage does, and ``self_test`` refuses to start if one of them does not hold.
"""

import sys
from pathlib import Path
from typing import Any

from kly_mage.common.errors import KlyError
from kly_mage.common.settings import PROJECT, load_settings
from kly_mage.mage import charts, kernel, patches, self_test, sign_in
from kly_mage.mage.guard import guard
from kly_mage.mage.hosts import own_hosts


def main(host: str = '127.0.0.1', port: str = '6789') -> None:
    """Start the server; returns when it ends.

    Raises:
        EditorError: the server would let somebody in who may not come in.
        SettingsError: ``KLY_EDITOR_HOSTS`` holds something that is no address.
    """
    here = own_hosts(int(port), load_settings().editor_hosts)
    kernel.sign_always()
    from mage_ai.settings.repo import get_variables_dir, set_repo_path

    set_repo_path(str(PROJECT))  # before anything of Mage's looks for its database
    self_test.check_mage()
    sys.path.append(str(PROJECT.parent))
    import mage_ai.server.server as mage
    from mage_ai.orchestration.db.database_manager import database_manager
    from mage_ai.server.setup import initialize_globals

    database_manager.run_migrations()
    patches.correct()
    patches.correct_scheduler()
    patches.keep_tracebacks_in()
    patches.complete_from_what_is_loaded()
    patches.show_no_day_that_a_backfill_does_not_load()
    charts.draw_on_opening()
    kernel.number_apart()
    kernel.lock(Path(get_variables_dir()) / 'kernel')
    application = guard(mage.make_app(), here)
    self_test.check_guard(application, f'127.0.0.1:{port}')  # before a scheduler or a kernel is started
    sign_ins = mage.initialize_user_authentication

    def guarded(*args: Any, **kwargs: Any) -> Any:
        kernel.listen()
        return application

    def with_our_password(project_type: Any) -> Any:
        client = sign_ins(project_type)
        sign_in.set_owner_password()
        return client

    mage.make_app = guarded
    mage.initialize_user_authentication = with_our_password
    mage.sleep = lambda seconds: None  # it waits for tables that are there since run_migrations
    mage.is_port_in_use = lambda *args, **kwargs: False  # else it takes the next port in silence; listening says it better
    initialize_globals()
    mage.start_server(host=host, port=port, project=str(PROJECT))


if __name__ == '__main__':
    try:
        main(*sys.argv[1:])
    except KlyError as error:
        sys.exit(str(error))
