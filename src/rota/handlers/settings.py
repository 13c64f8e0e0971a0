"""What the built-in handlers may do; decided by whoever runs the server, frozen once made."""

from __future__ import annotations

from typing import Literal

import msgspec

TYPES = ("sleep", "send_email", "webhook", "process_file")
"""The job types that the built-in handlers serve."""

Tls = Literal["none", "starttls", "tls"]


class SleepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``max_ms``: the longest sleep in milliseconds."""

    max_ms: int = 86_400_000


class EmailSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How mail leaves. Without ``host`` it is put into the Maildir folder ``maildir``.

    ``port`` None means 465 for ``tls``, 587 for ``starttls``, 25 for ``none``. ``sender`` is used when a job
    names no ``from``. ``timeout``: seconds for one whole conversation with the SMTP server.
    """

    host: str | None = None
    port: int | None = None
    tls: Tls = "starttls"
    username: str | None = None
    password: str | None = None
    sender: str = "rota@localhost"
    maildir: str = "maildir"
    timeout: float = 30.0

    def __repr__(self) -> str:
        """Everything but the password, so that settings can be logged."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__}
        if self.password is not None:
            shown["password"] = "***"
        return f"EmailSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests may go and how much of an answer is kept.

    ``allow_private`` opens private, shared and loopback addresses, not link-local ones (clouds keep machine
    credentials there). ``allow_networks`` (CIDR or single addresses) opens exactly those, whatever they are.
    ``timeout``: seconds for a whole request with its redirects, when the job gives none.
    """

    allow_private: bool = False
    allow_networks: tuple[str, ...] = ()
    max_response_bytes: int = 65_536
    timeout: float = 30.0


class FileSettings(msgspec.Struct, frozen=True, kw_only=True):
    """``folder``: the only folder whose files may be touched; None switches ``process_file`` off.

    ``max_bytes``: the largest file that is read or written.
    """

    folder: str | None = None
    max_bytes: int = 1024 * 1024 * 1024


class HandlerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which of :data:`TYPES` are served, and how."""

    enabled: tuple[str, ...] = TYPES
    sleep: SleepSettings = SleepSettings()
    email: EmailSettings = EmailSettings()
    webhook: WebhookSettings = WebhookSettings()
    files: FileSettings = FileSettings()
