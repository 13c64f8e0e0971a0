"""A PostgreSQL with a synchronous standby, and what an administrator does to them.

::

    with Pair() as pair:
        url = pair.database("rota")    # names both hosts
        pair.fail_over()               # kill -9 of the first, the second is promoted
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

from tests import postgres
from tests.postgres import Cluster

_DEADLINE = 30.0
_NAME = "standby"


class Pair:
    """Two clusters that keep what they acknowledge; a commit on the first waits for the second."""

    def __init__(self) -> None:
        self.primary = Cluster(durable=True)
        try:
            self.primary.stop()
            self.standby = Cluster(durable=True, prepare=self._copy)
        except BaseException:
            self.primary.close()
            raise
        postgres.ask(self.primary.url, f"ALTER SYSTEM SET synchronous_standby_names = '{_NAME}'")
        postgres.ask(self.primary.url, "SELECT pg_reload_conf()")
        self._until("SELECT sync_state = 'sync' FROM pg_stat_replication", self.primary)

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.standby.close()
        self.primary.close()

    def database(self, name: str) -> str:
        """The URL, with both hosts in it, of a new, empty database."""
        self.primary.database(name)
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in (self.primary, self.standby))
        return f"postgresql://rota@{hosts}/{name}"

    def fail_over(self) -> None:
        """The first is gone without a word, for good; the second takes its place."""
        self.primary.kill()
        self.promote()

    def promote(self) -> None:
        """The second takes writes."""
        assert postgres.ask(self.standby.url, "SELECT pg_promote(true, 30)")[0][0]
        self._until("SELECT NOT pg_is_in_recovery()", self.standby)

    def _copy(self, data: Path) -> None:
        """What the first is at while it is stopped becomes the second, which follows it from then on."""
        owner = data.stat()
        shutil.rmtree(data)
        shutil.copytree(self.primary.data, data)
        (data / "standby.signal").touch()
        follow = f"host=127.0.0.1 port={self.primary.port} user=rota application_name={_NAME}"
        with (data / "postgresql.auto.conf").open("a") as conf:
            conf.write(f"primary_conninfo = '{follow}'\n")
        for one in (data, *data.rglob("*")):
            os.chown(one, owner.st_uid, owner.st_gid)
        self.primary.start()

    def _until(self, question: str, cluster: Cluster) -> None:
        deadline = time.monotonic() + _DEADLINE
        while True:
            rows = postgres.ask(cluster.url, question)
            if rows and rows[0][0]:
                return
            assert time.monotonic() < deadline, question
            time.sleep(0.02)


def restart(cluster: Cluster, number: int = signal.SIGQUIT) -> None:
    """Stop it (by default without a checkpoint: it recovers as after a crash), and start it again."""
    pid = cluster.pid
    os.kill(pid, number)
    deadline = time.monotonic() + _DEADLINE
    while (cluster.data / "postmaster.pid").exists():
        assert time.monotonic() < deadline, "PostgreSQL does not end"
        time.sleep(0.01)
    cluster.start()


def terminate(url: str) -> int:
    """``pg_terminate_backend`` for every connection to a database; how many there were."""
    rows = postgres.ask(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    return len(rows)
