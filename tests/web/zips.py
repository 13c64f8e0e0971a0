"""Archives, and ways to send them byte by byte."""

from __future__ import annotations

import io
import os
import zipfile

MEDIA = {"content-type": "application/zip"}


def zipped(size: int = 0, **files: str) -> bytes:
    """An archive of these files, and of one that takes ``size`` bytes."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, text in (files or {"Makefile": "run:\n\t@echo hello\n"}).items():
            archive.writestr(name, text)
        if size:
            archive.writestr("large", os.urandom(size))
    return whole.getvalue()


def head(port: int, *lines: str, start: str = "POST /v1/jobs HTTP/1.1") -> bytes:
    """A request's head."""
    fields = [start, f"Host: 127.0.0.1:{port}", "Content-Type: application/zip", *lines]
    return "\r\n".join([*fields, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
