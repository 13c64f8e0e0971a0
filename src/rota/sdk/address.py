"""Where the servers are, and the token for them: from arguments, else from the environment."""

from __future__ import annotations

import os
import random
from pathlib import Path
from urllib.parse import urlsplit

from rota.model.errors import BadConfig

DEFAULT_URL = "http://127.0.0.1:8080"


def find_urls(url: str | None) -> tuple[str, ...]:
    """The addresses of servers over one store, which stand with commas between, without trailing slashes;
    BadConfig when one of them is none.
    """
    text = url or os.environ.get("ROTA_URL") or DEFAULT_URL
    return tuple(dict.fromkeys(_address(one.strip()) for one in text.split(",")))


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        told = "must look like http://HOST:PORT or https://HOST, several with commas between"
        raise BadConfig([f"url (ROTA_URL) {told}, not {text!r}."])
    return text.rstrip("/")


class Servers:
    """The servers that may be asked, and which of them is: any one at first, so that those who ask spread
    over them, and another one once it failed.
    """

    def __init__(self, url: str | None) -> None:
        self.urls = find_urls(url)
        self._at = random.randrange(len(self.urls))

    @property
    def url(self) -> str:
        """The one that is asked now."""
        return self.urls[self._at]

    @property
    def local(self) -> bool:
        """Whether all of them are on this machine."""
        return all(is_loopback(url) for url in self.urls)

    def leave(self, url: str) -> None:
        """This one failed: ask the next one. Nothing changes when somebody else has seen that before."""
        if url == self.url:
            self._at = (self._at + 1) % len(self.urls)


def find_token(token: str | None) -> str | None:
    """The bearer token, or None; BadConfig when its file cannot be read or it holds characters no header
    takes.
    """
    text = token or os.environ.get("ROTA_TOKEN")
    file = os.environ.get("ROTA_TOKEN_FILE")
    if not text and file:
        try:
            text = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadConfig([f"ROTA_TOKEN_FILE cannot be read: {error}."]) from None
    if text and not (text.isascii() and text.isprintable() and " " not in text):
        raise BadConfig(["token (ROTA_TOKEN) must be printable ASCII without spaces."])
    return text or None


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
