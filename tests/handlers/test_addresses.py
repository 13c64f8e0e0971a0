"""Which addresses may be called, and that no other is ever connected to."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rota.handlers.addresses import AddressRefused, Guard, GuardedBackend, is_own, resolve
from tests.handlers.http_sink import HttpSink

INSIDE = [
    *("127.0.0.1", "127.255.255.254", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("100.64.0.1", "100.127.255.255", "fc00::1", "fd12:3456::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1"),
]
NEVER = [
    *(
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "0.0.0.0",
        "0.1.2.3",
        "::",
    ),
    *("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1", "255.255.255.255", "240.0.0.1", "192.0.0.1"),
    *("192.0.0.9", "192.0.2.1", "198.51.100.7", "203.0.113.7", "198.18.0.1", "198.19.255.255", "192.88.99.1"),
    *(
        "2001:db8::1",
        "3fff::1",
        "2002:0a00:0001::",
        "2002:0808:0808::1",
        "2001:0:4136:e378:8000:63bf:f5f7:f5fd",
    ),
    *("64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8", "::10.0.0.1", "::8.8.8.8"),
    *("::ffff:0:10.0.0.1", "::ffff:169.254.169.254", "fec0::1", "100::1", "4000::1", "5f00::1", "2001:2::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "11.0.0.1", "192.0.1.1"]
PUBLIC += ["2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2620:4f:8000::1"]


@pytest.mark.parametrize("address", INSIDE + NEVER)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert Guard().refusal(address) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert Guard().refusal(address) is None


@pytest.mark.parametrize("address", INSIDE)
def test_allow_private_opens_the_inside(address: str) -> None:
    assert Guard(allow_private=True).refusal(address) is None


@pytest.mark.parametrize("address", NEVER)
def test_allow_private_opens_nothing_else(address: str) -> None:
    assert Guard(allow_private=True).refusal(address) is not None


def test_a_named_network_is_open_and_no_neighbour() -> None:
    guard = Guard(networks=["10.1.0.0/16", "169.254.169.254", "fe80::/64"])
    assert [guard.refusal(a) for a in ("10.1.2.3", "::ffff:10.1.2.3", "169.254.169.254", "fe80::5")] == [
        None
    ] * 4
    for address in ("10.2.0.1", "169.254.169.253", "fe80:1::1", "127.0.0.1"):
        assert guard.refusal(address) is not None
    # What is allowed on this side of a NAT64 gateway is not allowed on the other.
    assert guard.refusal("64:ff9b::10.1.2.3") is not None


@pytest.mark.parametrize("text", ["10.0.0.0/33", "intranet", "", "10.0.0"])
def test_networks_are_checked_when_the_guard_is_made(text: str) -> None:
    with pytest.raises(ValueError):
        Guard(networks=[text])


@given(st.ip_addresses())
def test_nothing_is_allowed_that_python_does_not_call_global(address: object) -> None:
    guard = Guard()
    if guard.refusal(str(address)) is None:
        plain = ip_address(str(address))
        plain = getattr(plain, "ipv4_mapped", None) or plain
        if plain not in ip_network("64:ff9b::/96"):
            assert plain.is_global
            assert not plain.is_multicast
            assert not plain.is_reserved


def test_this_machines_own_addresses_count_as_inside() -> None:
    assert is_own(ip_address("127.0.0.1"))
    assert not is_own(ip_address("192.0.2.1"))
    mine = ip_address("8.8.8.8")
    assert Guard(own=lambda address: address == mine).refusal("8.8.8.8") == "an address of this machine"
    assert Guard(own=lambda address: address == mine).refusal("8.8.4.4") is None
    assert Guard(own=lambda address: address == mine, networks=["8.8.8.8/32"]).refusal("8.8.8.8") is None


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.1", "127.1", "localhost", "::1", "0"])
async def test_odd_spellings_end_at_the_resolved_address(host: str) -> None:
    with pytest.raises(AddressRefused, match="which this server may not call"):
        await GuardedBackend(Guard()).connect_tcp(host, 80)


async def test_the_systems_resolver_answers_each_address_once() -> None:
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]


def test_a_name_that_never_resolves_keeps_nobody_waiting() -> None:
    code = """
import asyncio, socket, threading
from rota.handlers.addresses import resolve
socket.getaddrinfo = lambda *_, **__: threading.Event().wait()

async def main():
    lookups = [asyncio.ensure_future(resolve("stuck.test", 80)) for _ in range(40)]
    done, pending = await asyncio.wait(lookups, timeout=0.3)
    for lookup in pending:
        lookup.cancel()
    print(len(pending), await asyncio.to_thread(lambda: threading.active_count() < 30))

asyncio.run(main())
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=True)
    assert (ran.stdout, ran.stderr) == ("40 True\n", "")


class Names:
    """A resolver that gives the next of its answers each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        return list(self._answers[min(len(self.asked), len(self._answers)) - 1])


async def test_a_name_that_changes_its_mind_is_connected_where_it_was_checked() -> None:
    async with HttpSink(hosts=("127.0.0.1", "127.0.0.2")).running() as sink:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        backend = GuardedBackend(Guard(networks=["127.0.0.1/32"]), names)
        stream = await backend.connect_tcp("rebind.test", sink.port)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        await stream.aclose()
        assert names.asked == ["rebind.test"]
        with pytest.raises(AddressRefused, match=r"rebind.test \(127.0.0.2\) is a loopback address"):
            await backend.connect_tcp("rebind.test", sink.port)
        await sink.closed.wait()
        assert sink.connections == ["127.0.0.1"]


@pytest.mark.parametrize("answers", [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"]])
async def test_one_bad_answer_among_good_ones_refuses_the_name(answers: list[str]) -> None:
    async with HttpSink().running() as sink:
        backend = GuardedBackend(Guard(networks=["127.0.0.1/32"]), Names(answers))
        with pytest.raises(AddressRefused, match=r"mixed.test \(10.0.0.1\) is a private address"):
            await backend.connect_tcp("mixed.test", sink.port)
        assert sink.connections == []


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with HttpSink(hosts=("127.0.0.2",)).running() as sink:
        backend = GuardedBackend(Guard(networks=["127.0.0.0/8"]), Names(["127.0.0.1", "127.0.0.2"]))
        stream = await backend.connect_tcp("two.test", sink.port)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.2"
        await stream.aclose()


async def test_no_answer_at_all_is_a_connection_error() -> None:
    async with HttpSink().running() as sink:
        port = sink.port
    backend = GuardedBackend(Guard(allow_private=True), Names(["127.0.0.1"]))
    with pytest.raises(httpcore2.ConnectError, match=f"127.0.0.1 port {port}: "):
        await backend.connect_tcp("gone.test", port)
    with pytest.raises(httpcore2.ConnectError, match=r"empty\.test has no address"):
        await GuardedBackend(Guard(), Names([])).connect_tcp("empty.test", 80)
    long = "x" * 64 + ".test"
    with pytest.raises(httpcore2.ConnectError, match=f"{long} cannot be resolved: "):
        await GuardedBackend(Guard()).connect_tcp(long, 80)

    async def nothing(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(httpcore2.ConnectError, match=r"gone\.test cannot be resolved: .*not known"):
        await GuardedBackend(Guard(), nothing).connect_tcp("gone.test", 80)
