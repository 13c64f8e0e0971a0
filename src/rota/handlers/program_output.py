"""What a program writes: lines for the log as they come, and the text for the result."""

from __future__ import annotations

import asyncio
import codecs

import msgspec

from rota.sdk.context import LINE_BYTES, Context

PARTIAL_SECONDS = 0.5
"""How long a line may go without an end before it is shown."""
WHOLE, PIECE = "info", "debug"
"""Levels of lines with their ends, and of pieces: who puts an end behind each line and none behind a piece
has the output as it was.
"""
FULL = "Log full: the result has the rest of the output."

_encode = msgspec.json.Encoder().encode


class Output:
    """Takes output in pieces, on the event loop. Of more than ``most`` bytes the beginning and the end are
    kept; ``lines`` is how many go to the log, and no more bytes than are kept.
    """

    def __init__(self, ctx: Context, most: int, lines: int) -> None:
        self.bytes = 0
        self._ctx = ctx
        self._most = most
        self._half = most // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._lines_left = lines
        self._bytes_left = most
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = ""
        self._full = False
        self._timer: asyncio.TimerHandle | None = None

    def take(self, data: bytes) -> None:
        """The next piece."""
        self.bytes += len(data)
        room = self._most - len(self._head)
        self._head += data[:room]
        if len(data) > room:
            self._tail += data[room:]
            if len(self._tail) > 2 * self._half + len(data):
                del self._tail[: len(self._tail) - self._half]
        if not self._full:
            piece = data[: self._bytes_left]
            self._bytes_left -= len(piece)
            self._split(self._decoder.decode(piece))
            if len(piece) < len(data):
                self._flush()
                self._no_more()

    def end(self) -> None:
        """There is no more."""
        self._partial += self._decoder.decode(b"", True)
        self._flush()

    def text(self, room: int) -> tuple[str, bool]:
        """The output as text whose JSON takes at most ``room`` bytes, and whether something was left out.
        What is no UTF-8, and NUL, is U+FFFD.
        """
        most = self._most
        while True:
            text = self._text(most)
            size = len(_encode(text))
            if size <= room or not most:
                return text, min(most, self._most) < self.bytes
            # Control characters take six bytes in JSON.
            most = int(min(most, self.bytes) * room / size * 0.98)

    def _text(self, most: int) -> str:
        if self.bytes <= most:
            return _decode(bytes(self._head))
        behind = most // 2
        first = bytes(self._head[: most - behind])
        last = bytes((self._head + self._tail)[-behind:]) if behind else b""
        # A cut in the middle of a character loses that character.
        start = next((at for at in range(min(4, len(last))) if last[at] & 0xC0 != 0x80), 0)
        beginning = codecs.getincrementaldecoder("utf-8")("replace").decode(first).replace("\0", "\ufffd")
        left_out = self.bytes - len(first) - len(last)
        return f"{beginning}\n[... {left_out} bytes left out ...]\n{_decode(last[start:])}"

    def _split(self, text: str) -> None:
        *lines, rest = (self._partial + text).split("\n")
        if lines:
            self._stop_timer()
        self._partial = rest
        for line in lines:
            self._say(line, WHOLE)
            if self._full:
                return
        while len(self._partial) > LINE_BYTES:
            piece, self._partial = self._partial[:LINE_BYTES], self._partial[LINE_BYTES:]
            self._say(piece, PIECE)
        if self._partial and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PARTIAL_SECONDS, self._flush)

    def _flush(self) -> None:
        self._stop_timer()
        if self._partial:
            partial, self._partial = self._partial, ""
            self._say(partial, PIECE)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _say(self, line: str, level: str) -> None:
        data = line.encode()
        while not self._full:
            if not self._lines_left:
                self._no_more()
                return
            self._lines_left -= 1
            piece = data[:LINE_BYTES].decode("utf-8", "ignore")
            data = data[len(piece.encode()) :]
            self._ctx.log(piece, PIECE if data else level)
            if not data:
                return

    def _no_more(self) -> None:
        if not self._full:
            self._full = True
            self._stop_timer()
            self._ctx.log(FULL, "warning")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")
