"""The wire that tests cut: it does what it is told, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.crash.kit import until
from tests.proxy import Proxy


@pytest.fixture
def wire() -> Iterator[Proxy]:
    """To somebody who says everything back."""

    def serve() -> None:
        while True:
            try:
                there, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(there,), daemon=True).start()

    def echo(there: socket.socket) -> None:
        with there:
            try:
                while data := there.recv(100):
                    heard.append(data)
                    there.sendall(data)
            except OSError:
                pass

    heard.clear()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        with Proxy(listener.getsockname()[1]) as wire:
            yield wire
        listener.shutdown(socket.SHUT_RDWR)


heard: list[bytes] = []


def connected(wire: Proxy) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", wire.port), timeout=10)
    made.sendall(b"hello")
    return made


def nothing_comes(made: socket.socket) -> bool:
    made.settimeout(0.2)
    try:
        return made.recv(10) == b"never"
    except TimeoutError:
        return True
    finally:
        made.settimeout(10)


def test_it_passes_on(wire: Proxy) -> None:
    with connected(wire) as made:
        assert made.recv(10) == b"hello"
        made.shutdown(socket.SHUT_WR)
        assert made.recv(10) == b"", "an end is passed on, too"
    assert wire.connections == 1
    assert wire.through("postgresql://me:x@db:5432/a?b=c") == f"postgresql://me:x@127.0.0.1:{wire.port}/a?b=c"


def test_it_resets(wire: Proxy) -> None:
    with connected(wire) as made:
        assert made.recv(10) == b"hello"
        wire.reset()
        with pytest.raises(ConnectionResetError):
            made.recv(10)
    with connected(wire) as made:
        assert made.recv(10) == b"hello", "others may come"


def test_it_is_silent_and_what_was_sent_comes_in_the_end(wire: Proxy) -> None:
    with connected(wire) as made:
        assert made.recv(10) == b"hello"
        with wire.silent():
            made.sendall(b"again")
            assert nothing_comes(made)
            assert heard == [b"hello"]
            with connected(wire) as other:
                assert nothing_comes(other), "a new connection is silent, too"
        assert made.recv(10) == b"again"


def test_it_is_silent_one_way(wire: Proxy) -> None:
    with connected(wire) as made:
        assert made.recv(10) == b"hello"
        with wire.silent("out"):
            made.sendall(b"again")
            until(lambda: heard[1:] == [b"again"], "what was sent")
            assert nothing_comes(made)
        assert made.recv(10) == b"again"


def test_it_is_slow(wire: Proxy) -> None:
    with wire.slow(0.5, "in"), connected(wire) as made:
        assert nothing_comes(made)
        assert made.recv(10) == b"hello"


def test_it_refuses(wire: Proxy) -> None:
    with connected(wire) as made:
        assert made.recv(10) == b"hello"
        with wire.refusing():
            with pytest.raises(ConnectionResetError):
                made.recv(10)
            with pytest.raises(ConnectionRefusedError):
                connected(wire)
        with connected(wire) as other:
            assert other.recv(10) == b"hello"
