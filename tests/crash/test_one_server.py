"""A store belongs to one server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.crash.kit import Scene
from tests.server import Process, environment


def test_a_second_server_on_the_same_store_is_refused(scene: Callable[..., Scene], tmp_path: Path) -> None:
    here = scene()
    with here.server() as server:
        [id] = here.send("quick")
        command = ["serve", "--listen", "127.0.0.1:0", "--store", server.store]
        for store in (server.store, f"sqlite:///{tmp_path}/./rota.db"):
            second = Process([*command[:-1], store], tmp_path, environment())
            try:
                assert second.wait() == 1
                assert "is in use by another server; stop that one or choose another --store." in second.text
                assert "Traceback" not in second.text
            finally:
                second.close()
        assert here.state(id) == "pending", "the first one goes on"
        with here.worker("w1"):
            here.ended(id)
            here.check(once=True)


def test_after_a_kill_the_store_is_free_again(scene: Callable[..., Scene]) -> None:
    here = scene()
    for _ in range(3):
        with here.server() as server:
            here.send("quick")
            server.kill()
    with here.server(), here.worker("w1"):
        here.ended(*(job["id"] for job in here.store()))
        here.check(once=True)
