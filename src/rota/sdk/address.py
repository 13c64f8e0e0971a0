"""Where the server is, and the token for it: from arguments, else from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from rota.model.errors import BadConfig

DEFAULT_URL = "http://127.0.0.1:8080"


def find_url(url: str | None) -> str:
    """The server's address without a trailing slash; BadConfig when it is none."""
    text = url or os.environ.get("ROTA_URL") or DEFAULT_URL
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise BadConfig([f"url (ROTA_URL) must look like http://HOST:PORT or https://HOST, not {text!r}."])
    return text.rstrip("/")


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
