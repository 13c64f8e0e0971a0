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


class ProgramSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What programs may use, and what is kept of them. Sizes in bytes.

    ``timeout`` is the wall time of a job that asks for none, ``max_timeout`` the most it may ask for. Of
    ``cpu_seconds``, ``cpus`` and ``memory`` a job gets this much, or less if it asks for less;
    ``cpu_seconds`` None: as much as fits into its wall time on its cores. The other limits are those of
    :class:`rota.programs.ask.Limits`; ``output`` is what is kept of the output, its beginning and its end.

    ``grace``: seconds from the request to end until a program is killed. ``artifact_limit``: the largest zip
    archive of ``out/`` that is kept. ``result_limit``: what the server keeps of a result. ``log_lines``: how
    many lines of output go to a job's log. ``network``: whether a job may ask for it. ``execurl`` downloads
    from where ``allow_private`` and ``allow_networks`` let a webhook go, at most ``download_limit`` bytes in
    ``download_timeout`` seconds.
    """

    timeout: float = 60.0
    max_timeout: float = 3600.0
    cpu_seconds: float | None = None
    cpus: float = 1.0
    memory: int = 512 << 20
    processes: int = 64
    open_files: int = 256
    file_size: int = 256 << 20
    disk: int = 512 << 20
    tmp: int = 64 << 20
    shm: int = 64 << 20
    output: int = 1 << 20
    network: bool = False
    grace: float = 5.0
    artifact_limit: int = 64 << 20
    result_limit: int = 1 << 20
    log_lines: int = 5000
    allow_private: bool = False
    allow_networks: tuple[str, ...] = ()
    download_limit: int = 64 << 20
    download_timeout: float = 60.0
