"""``python -m bench.chaos --minutes 10``: servers and workers are killed (-9) and frozen at random while
clients enqueue through a list of servers; afterwards every note that clients, handlers and workers made is
compared with the store. Status 0: nothing acknowledged was lost, nothing stale was accepted, and no other
promise was broken. The same seed sends the same jobs and draws the same shots; their moments are the
machine's.

Without ``--store`` it starts a PostgreSQL of its own, which keeps what it acknowledges; ``--store sqlite``
takes one server over a file; a URL names an empty database.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests import postgres
from tests.crash.chaos import chaos


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--store", default="postgresql", help="sqlite, postgresql, or the URL of a database")
    parser.add_argument("--servers", type=int, help="3, on SQLite 1")
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two shots")
    parser.add_argument("--rate", type=float, default=60.0, help="jobs a second that clients send")
    parser.add_argument("--keep", type=Path, help="leave the notes in this folder")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        store, servers = options.store, options.servers or 3
        if store == "sqlite":
            store, servers = f"sqlite:///{folder / 'rota.db'}", options.servers or 1
        elif store == "postgresql":
            store = stack.enter_context(postgres.Cluster(durable=True)).database("chaos")
        print(f"seed {options.seed}: {servers} servers, {options.workers} workers, {store}", flush=True)
        verdict = chaos(
            folder,
            store,
            seed=options.seed,
            seconds=options.minutes * 60,
            servers=servers,
            workers=options.workers,
            every=options.every,
            rate=options.rate,
            told=lambda line: print(line, flush=True),
        )
        print(*verdict.broken, sep="\n", end="\n" if verdict.broken else "")
    return 1 if verdict.broken else 0


if __name__ == "__main__":
    sys.exit(main())
