"""Which addresses outgoing requests may reach, and a network backend that connects to no other.

The judgement is made where the connection is made: a name is resolved once per connection, every answer
is judged, and the socket is opened to one of the judged addresses. So a name that resolves differently a
moment later (DNS rebinding), an address written in an odd way (``http://2130706433``) and a redirect all
end up at the same check. The Host header and the name in the certificate stay those of the URL.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from queue import SimpleQueue

import httpcore2

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Host and port to addresses, best first; raises OSError when there are none."""

_TRIES = 4
"""Addresses of one name that are tried before the connection counts as failed."""

# Kind "inside" is what ``allow_private`` opens; the rest is opened only by naming the network.
_REFUSED: tuple[tuple[str, str, str], ...] = (
    ("10.0.0.0/8", "inside", "a private address"),
    ("172.16.0.0/12", "inside", "a private address"),
    ("192.168.0.0/16", "inside", "a private address"),
    ("100.64.0.0/10", "inside", "a shared (carrier) address"),
    ("127.0.0.0/8", "inside", "a loopback address"),
    ("::1/128", "inside", "a loopback address"),
    ("169.254.0.0/16", "never", "a link-local address"),
    ("fe80::/10", "never", "a link-local address"),
    ("fd00:ec2::/32", "never", "a cloud metadata address"),
    ("fc00::/7", "inside", "a private address"),
    ("0.0.0.0/8", "never", "an unspecified address"),
    ("::/128", "never", "an unspecified address"),
    ("224.0.0.0/4", "never", "a multicast address"),
    ("ff00::/8", "never", "a multicast address"),
    ("192.0.0.0/24", "never", "a protocol assignment"),
    ("192.0.2.0/24", "never", "a documentation address"),
    ("198.51.100.0/24", "never", "a documentation address"),
    ("203.0.113.0/24", "never", "a documentation address"),
    ("2001:db8::/32", "never", "a documentation address"),
    ("3fff::/20", "never", "a documentation address"),
    ("198.18.0.0/15", "never", "a benchmarking address"),
    ("240.0.0.0/4", "never", "a reserved address"),
    # Tunnels carry an IPv4 address that somebody else's gateway would connect to.
    ("192.88.99.0/24", "never", "a 6to4 relay"),
    ("2002::/16", "never", "a 6to4 tunnel address"),
    ("2001::/32", "never", "a Teredo tunnel address"),
    ("2001::/23", "never", "a protocol assignment"),
    ("::/96", "never", "an IPv4-compatible address"),
    ("::ffff:0:0:0/96", "never", "an IPv4-translated address"),
    ("64:ff9b:1::/48", "never", "a local NAT64 address"),
)
_TABLE = tuple((ip_network(net), kind, words) for net, kind, words in _REFUSED)
_NAT64 = IPv6Network("64:ff9b::/96")
_UNICAST = IPv6Network("2000::/3")


class AddressRefused(Exception):
    """A host leads to an address that the configuration does not allow."""

    def __init__(self, host: str, address: str, why: str) -> None:
        reached = host if host == address else f"{host} ({address})"
        super().__init__(f"{reached} is {why}, which this server may not call.")
        self.address = address


class Guard:
    """Judges addresses. ``networks``: CIDR texts that are allowed whatever they are, else ValueError.

    ``own`` tells whether an address belongs to this machine, whose services may be hidden from the world.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        networks: Iterable[str] = (),
        own: Callable[[Address], bool] | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._networks: tuple[Network, ...] = tuple(ip_network(text, strict=False) for text in networks)
        self._own = is_own if own is None else own

    def refusal(self, text: str) -> str | None:
        """What makes this address forbidden (``a private address``); None when it may be called."""
        address: Address = ip_address(text.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._networks):
            return None
        if isinstance(address, IPv6Address) and address in _NAT64:
            # A gateway will connect to the IPv4 address inside. What is allowed here is not allowed there.
            return Guard(own=self._own).refusal(str(IPv4Address(int(address) & 0xFFFFFFFF)))
        for network, kind, words in _TABLE:
            if address in network:
                return None if kind == "inside" and self._allow_private else words
        if not address.is_global or (isinstance(address, IPv6Address) and address not in _UNICAST):
            return "not a public address"
        if not self._allow_private and self._own(address):
            return "an address of this machine"
        return None


def is_own(address: Address) -> bool:
    """Whether an address is this machine's: then the system picks it as source, too. Nothing is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:
        return False


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    answer: Future[list[str]] = Future()
    _wanted.put((answer, host, port))
    if len(_threads) < _LOOKUPS:
        thread = threading.Thread(target=_look_up, name="rota-resolve", daemon=True)
        _threads.append(thread)
        thread.start()
    return await asyncio.wrap_future(answer)


# Threads of their own, few and daemons: a name that takes for ever to resolve starves nobody else who needs a
# thread, and does not keep the server from ending.
_LOOKUPS = 16
_wanted: SimpleQueue[tuple[Future[list[str]], str, int]] = SimpleQueue()
_threads: list[threading.Thread] = []


def _look_up() -> None:
    while True:
        answer, host, port = _wanted.get()
        if not answer.set_running_or_notify_cancel():
            continue
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to allowed addresses only: AddressRefused for others, httpcore2's errors for the rest.

    It closes what it opened, because nobody else does when a TLS handshake is cut short.
    """

    def __init__(self, guard: Guard, resolver: Resolver = resolve) -> None:
        self._guard = guard
        self._resolver = resolver
        self._network = httpcore2.AnyIOBackend()
        self._opened: list[httpcore2.AsyncNetworkStream] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error
        # All of them, before the first connection: one bad answer makes the name unfit.
        for address in addresses:
            why = self._guard.refusal(address)
            if why is not None:
                raise AddressRefused(host, address, why)
        failure: Exception = httpcore2.ConnectError(f"{host} has no address.")
        for address in addresses[:_TRIES]:
            try:
                stream = await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
                self._opened.append(stream)
                return stream
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = type(error)(f"{address} port {port}: {_reason(error)}")
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def aclose(self) -> None:
        """Close every connection that is still open."""
        while self._opened:
            await self._opened.pop().aclose()


def _reason(error: BaseException) -> str:
    """What the system said; the libraries on top of it say less."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return os.strerror(cause.errno)
        cause = cause.__cause__
    return str(error) or "timed out"
