"""Programs that mean no harm: they run, print what they print, and end as they end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rota.model.errors import BadInput, Forbidden
from rota.programs.ask import MIB, Ask, Limits, NotStarted
from rota.programs.sandbox import Sandbox
from tests.programs.kit import AS_ROOT, folder_of_the_machine, open_folder, run, sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["bubblewrap", "Landlock"])
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    # An ordinary user has but the one way, and takes it twice.
    out = ("bubblewrap", "network") if request.param == "Landlock" and AS_ROOT else ()
    async with sandbox(leave_out=out, network=True) as opened:
        yield opened


async def test_make_python_c_and_shell_work_together(box: Sandbox) -> None:
    async with box.workplace() as folder:
        (folder / "Makefile").write_text(
            "run: program\n\t@echo from make\n\t@sh say.sh\n\t@python3 say.py\n\t@./program\n"
            "\t@mkdir -p out && cp say.py out/\n"
            "program: program.c\n\t@cc -o program program.c -lm\n"
        )
        (folder / "say.sh").write_text("echo from a shell | tr a-z A-Z\n")
        (folder / "say.py").write_text(
            "import json, sqlite3, tempfile\nprint(json.dumps({'from': 'python'}))\n"
        )
        (folder / "program.c").write_text(
            '#include <stdio.h>\nint main(void) { puts("from C"); return 0; }\n'
        )
        said = bytearray()
        ran = await box.run(Ask(["make", "run"], folder), said.extend)
        assert said.decode() == 'from make\nFROM A SHELL\n{"from": "python"}\nfrom C\n'
        assert ran.ok
        assert ran.output_bytes == len(said)
        assert not ran.output_cut
        assert ran.cpu_seconds > 0
        assert ran.wall_seconds > 0
        assert MIB < ran.peak_memory < 512 * MIB
        assert (folder / "out" / "say.py").read_text().startswith("import json")


async def test_output_comes_while_it_is_written_and_in_its_order(box: Sandbox) -> None:
    came: asyncio.Queue[bytes] = asyncio.Queue()
    async with box.workplace() as folder:
        os.mkfifo(folder / "go")
        (folder / "go").chmod(0o666)
        program = "echo one; echo two >&2; read -r word <go; echo $word"
        running = asyncio.create_task(box.run(Ask(["/bin/sh", "-c", program], folder), came.put_nowait))
        text = b""
        while text != b"one\ntwo\n":
            text += await came.get()
        await asyncio.to_thread((folder / "go").write_text, "three\n")
        assert (await running).ok
        while not came.empty():
            text += came.get_nowait()
        assert text == b"one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("program", "status", "signal"),
    [
        ("exit 0", 0, None),
        ("exit 3", 3, None),
        ("kill -9 $$", 137, 9),
        ("kill -SEGV $$", 139, 11),
        ("nothing", 127, None),
    ],
)
async def test_the_status_is_that_of_a_shell(
    box: Sandbox, program: str, status: int, signal: int | None
) -> None:
    ran, _ = await run(box, program)
    assert (ran.ended, ran.status, ran.signal) == ("exit", status, signal)


async def test_the_environment_is_what_was_asked_for(box: Sandbox) -> None:
    env = {"NAME": "with space = and ünicode\nand lines", "LANG": "C"}
    program = 'echo "$NAME|$LANG|$(pwd)|$USER"; [ -w "$TMPDIR" ] && [ -w "$HOME" ] && echo writable'
    ran, said = await run(box, program, env=env)
    assert said.startswith("with space = and ünicode\nand lines|C|")
    assert said.endswith("|job\nwritable\n")
    assert ran.ok


async def test_bytes_pass_unchanged(box: Sandbox) -> None:
    said = bytearray()
    async with box.workplace() as folder:
        (folder / "data").write_bytes(bytes(range(256)) * 2000)
        ran = await box.run(Ask(["cat", "data"], folder), said.extend)
    assert ran.ok
    assert said == bytes(range(256)) * 2000


async def test_output_is_cut_where_it_should_and_counted_to_its_end(box: Sandbox) -> None:
    ran, said = await run(box, "head -c 100000 /dev/zero | tr '\\0' x; exit 4", output=1000)
    assert said == "x" * 1000
    assert (ran.status, ran.output_bytes, ran.output_cut) == (4, 100000, True)


async def test_a_program_may_have_children_pipes_and_sockets_of_its_own(box: Sandbox) -> None:
    ran, said = await run(
        box,
        "python3 - <<'END'\n"
        "import multiprocessing, socket, threading\n"
        "a, b = socket.socketpair(); a.send(b'pair'); print(b.recv(9).decode())\n"
        "t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n"
        "p = multiprocessing.get_context('fork').Process(target=print, args=('process',))\n"
        "p.start(); p.join()\n"
        "END\n",
        memory=256 * MIB,
    )
    assert said == "pair\nthread\nprocess\n"
    assert ran.ok


async def test_a_program_that_is_asked_to_end_can_clean_up(box: Sandbox) -> None:
    stop = asyncio.Event()

    def hear(data: bytes) -> None:
        said.extend(data)
        if b"ready" in said:
            stop.set()

    said = bytearray()
    program = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.01; done"
    ran, _ = await run(box, program, stop=stop, on_output=hear)
    # The shell may say in between that its child was terminated, too.
    assert said.startswith(b"ready\n")
    assert said.endswith(b"bye\n")
    assert (ran.ended, ran.status) == ("cancelled", 7)


async def test_many_run_at_a_time_and_none_counts_for_another(box: Sandbox) -> None:
    # Each has seven processes of ten; together they are more than any of them may have.
    program = (
        "for i in 1 2 3 4 5; do (read -r word <go) & done; echo ready >&2; read -r word <go; wait; echo done"
    )

    async def one() -> str:
        said = bytearray()
        async with box.workplace() as folder:
            os.mkfifo(folder / "go")
            (folder / "go").chmod(0o666)
            ready = asyncio.Event()

            def hear(data: bytes) -> None:
                said.extend(data)
                ready.set()

            ask = Ask(["/bin/sh", "-c", program], folder, limits=Limits(processes=10))
            running = asyncio.create_task(box.run(ask, hear))
            await asyncio.wait(
                [running, asyncio.ensure_future(ready.wait())], return_when=asyncio.FIRST_COMPLETED
            )
            barrier.append(1)
            if len(barrier) == 4:
                everybody.set()
            await everybody.wait()
            fd = await asyncio.to_thread(os.open, folder / "go", os.O_RDWR)
            os.write(fd, b"go\n" * 6)
            await running
            os.close(fd)
        return said.decode()

    barrier: list[int] = []
    everybody = asyncio.Event()
    assert await asyncio.gather(*(one() for _ in range(4))) == ["ready\ndone\n"] * 4


async def test_the_network_is_there_when_it_is_asked_for_and_allowed(box: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = f"import socket; print(socket.create_connection(('127.0.0.1', {port})).recv(9).decode())"
        loop = asyncio.get_running_loop()
        server.setblocking(False)

        async def serve() -> None:
            connection, _ = await loop.sock_accept(server)
            with connection:
                await loop.sock_sendall(connection, b"hello")

        serving = asyncio.create_task(serve())
        said = bytearray()
        async with box.workplace() as folder:
            ran = await box.run(Ask(["python3", "-c", program], folder, network=True), said.extend)
        assert (ran.ok, bytes(said)) == (True, b"hello\n")
        await serving


async def test_an_abstract_socket_stays_closed_to_a_program_with_the_network(box: Sandbox) -> None:
    if not (await box.probe()).landlock >= 6:
        pytest.fail("this kernel cannot do what docs/sandbox.md promises")
    name = f"rota-test-network-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        server.setblocking(False)
        program = f"import socket; socket.socket(socket.AF_UNIX).connect('\\0' + '{name}')"
        async with box.workplace() as folder:
            ran = await box.run(Ask(["python3", "-c", program], folder, network=True), bytearray().extend)
        assert ran.status == 1
        with pytest.raises(BlockingIOError):
            server.accept()


async def test_paths_that_are_shown_can_be_read_and_not_written(box: Sandbox) -> None:
    with folder_of_the_machine() as tools:
        (tools / "file").write_text("tool")
        tools.chmod(0o777)
        program = f"cat {tools}/file; echo x 2>/dev/null >{tools}/new || echo no"
        async with box.workplace() as folder:
            said = bytearray()
            ran = await box.run(Ask(["/bin/sh", "-c", program], folder, readonly=[str(tools)]), said.extend)
            assert ran.ok
            assert said == b"toolno\n"
            said.clear()
            await box.run(Ask(["/bin/sh", "-c", program], folder), said.extend)
            assert b"tool\n" not in said
            assert b"toolno" not in said


async def test_paths_that_are_a_program_s_own_cannot_be_shown(box: Sandbox) -> None:
    with open_folder() as shown:
        if Path("/tmp") not in shown.parents:
            shown = Path("/tmp")
        async with box.workplace() as folder:
            with pytest.raises(BadInput, match="covers what is their own"):
                await box.run(Ask(["true"], folder, readonly=[str(shown)]), bytearray().extend)


# --- what is asked wrongly ---


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"command": []}, "command"),
        ({"command": "make run"}, "command"),
        ({"command": ["a\0b"]}, "command"),
        ({"env": {"A=B": "x"}}, "env.A=B"),
        ({"env": {"A": "x\0"}}, "env.A"),
        ({"grace_seconds": -1}, "grace_seconds"),
        ({"grace_seconds": float("nan")}, "grace_seconds"),
        ({"readonly": ["relative"]}, "readonly"),
        ({"readonly": ["/proc/self"]}, "readonly"),
        ({"readonly": ["/usr/../etc"]}, "readonly"),
        ({"readonly": ["/not/there"]}, "readonly"),
        ({"limits": Limits(memory=0)}, "memory"),
        ({"limits": Limits(processes=1.5)}, "processes"),  # type: ignore[arg-type]
        ({"limits": Limits(wall_seconds=0)}, "wall_seconds"),
        ({"limits": Limits(cpu_seconds=float("inf"))}, "cpu_seconds"),
        ({"limits": Limits(disk=True)}, "disk"),
    ],
)
async def test_an_ask_that_makes_no_sense_is_refused(
    box: Sandbox, change: dict[str, object], field: str
) -> None:
    async with box.workplace() as folder:
        ask = Ask(**({"command": ["true"], "folder": folder} | change))  # type: ignore[arg-type]
        with pytest.raises(BadInput) as refused:
            await box.run(ask, bytearray().extend)
        assert refused.value.field == field


async def test_a_command_that_is_not_there_says_so(box: Sandbox) -> None:
    async with box.workplace() as folder:
        with pytest.raises(NotStarted, match="no-such-command"):
            await box.run(Ask(["no-such-command"], folder), bytearray().extend)


async def test_no_network_without_leave() -> None:
    async with sandbox() as opened, opened.workplace() as folder:
        with pytest.raises(Forbidden, match=r"programs\.network"):
            await opened.run(Ask(["true"], folder, network=True), bytearray().extend)


async def test_no_signal_is_ignored_from_the_start() -> None:
    """As they would be for programs of a server that a shell started in the background."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGQUIT, signal.SIGALRM)}
    try:
        async with sandbox() as opened:
            _, said = await run(opened, "exec grep -E '^Sig(Ign|Blk)' /proc/self/status")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # The C library keeps two for itself, of which nobody knows.
    known = sum(1 << number - 1 for number in signal.valid_signals())
    assert [int(line.split()[1], 16) & known for line in said.splitlines()] == [0, 0]
