"""An object store of the tests' own, for the broker to keep its topics in: they outlive one that is killed.

It speaks as much of the S3 protocol as a broker asks for: objects with conditional writes, ranges, lists.
It lives in a thread of this process, in memory; signatures are not looked at, for it listens on this machine
only.
"""

from __future__ import annotations

import hashlib
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.sax.saxutils import escape

_PAGE = 1000
_SINCE = "2026-01-01T00:00:00.000Z"


class Buckets:
    """Serving from now until :meth:`close`, at ``url``."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        """By bucket and key, what is there and its tag."""
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Request)
        self._server.buckets = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def put(self, name: str, body: bytes) -> str:
        """Keep an object under ``/bucket/key``; its tag."""
        tag = f'"{hashlib.md5(body).hexdigest()}-{len(body)}"'
        self.objects[name] = body, tag
        return tag

    def close(self) -> None:
        """Stop serving, and forget everything."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    buckets: Buckets

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A broker that was killed leaves its connections in the middle."""


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def do_PUT(self) -> None:
        name, _ = self._asked()
        body = self._body()
        tag = ""
        store = self.server.buckets
        with store.lock:
            there = store.objects.get(name)
            must, must_not = self.headers.get("If-Match"), self.headers.get("If-None-Match")
            kept = (must is None or (there is not None and there[1] == must)) and (
                must_not is None or there is None
            )
            if kept:
                tag = store.put(name, body)
        if kept:
            self._answer(200, ETag=tag)
        else:
            self._fault(412, "PreconditionFailed")

    def do_GET(self) -> None:
        name, query = self._asked()
        if "list-type" in query:
            self._list(name, query)
            return
        there = self.server.buckets.objects.get(name)
        if there is None:
            self._fault(404, "NoSuchKey")
            return
        body, tag = there
        if self.headers.get("If-None-Match") == tag:
            self._answer(304, ETag=tag)
            return
        more = {"ETag": tag, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "Accept-Ranges": "bytes"}
        if (span := self.headers.get("Range", "")).startswith("bytes="):
            first, _, last = span.removeprefix("bytes=").partition("-")
            begin = int(first) if first else max(0, len(body) - int(last))
            end = min(len(body), int(last) + 1) if first and last else len(body)
            more["Content-Range"] = f"bytes {begin}-{end - 1}/{len(body)}"
            self._answer(206, body[begin:end], **more)
        else:
            self._answer(200, body, **more)

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        name, _ = self._asked()
        with self.server.buckets.lock:
            self.server.buckets.objects.pop(name, None)
        self._answer(204)

    def do_POST(self) -> None:
        """Many deletions at once."""
        bucket, query = self._asked()
        body = self._body().decode()
        if "delete" not in query:
            self._fault(501, "NotImplemented")
            return
        keys = [piece.partition("</Key>")[0] for piece in body.split("<Key>")[1:]]
        with self.server.buckets.lock:
            for key in keys:
                self.server.buckets.objects.pop(f"{bucket.rstrip('/')}/{key}", None)
        done = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self._answer(200, f"<DeleteResult>{done}</DeleteResult>".encode())

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        head = bucket.rstrip("/") + "/"
        prefix, cut = query.get("prefix", ""), query.get("delimiter")
        after = query.get("continuation-token") or query.get("start-after", "")
        with self.server.buckets.lock:
            every = sorted(self.server.buckets.objects.items())
        found: list[str] = []
        folders: dict[str, None] = {}
        last = ""
        for name, (body, tag) in every:
            key = name.removeprefix(head)
            if not name.startswith(head) or not key.startswith(prefix) or key <= after:
                continue
            if len(found) + len(folders) >= _PAGE:
                break
            last = key
            rest = key[len(prefix) :]
            if cut and cut in rest:
                folders[prefix + rest.partition(cut)[0] + cut] = None
                continue
            found.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{_SINCE}</LastModified>"
                f"<ETag>{escape(tag)}</ETag><Size>{len(body)}</Size></Contents>"
            )
        else:
            last = ""
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{escape(last)}</NextContinuationToken>"
        tail = more if last else "<IsTruncated>false</IsTruncated>"
        below = "".join(f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders)
        shape = f"<ListBucketResult>{''.join(found)}{below}{tail}</ListBucketResult>"
        self._answer(200, shape.encode())

    def _asked(self) -> tuple[str, dict[str, str]]:
        path, _, query = self.path.partition("?")
        return urllib.parse.unquote(path), dict(urllib.parse.parse_qsl(query, keep_blank_values=True))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _fault(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
