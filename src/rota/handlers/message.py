"""A mail message from what a job says: checked, then written as RFC 5322 bytes.

The header block is written here and not by :mod:`email`, which decodes encoded words in the values it is
given and so lets ``=?utf-8?q?=0AX-Evil:_1?=`` start a header of its own. The MIME body is its work.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from datetime import datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from ipaddress import IPv4Address, IPv6Address

import idna
import msgspec

from rota.sdk.signature import BadPayload

MAX_RECIPIENTS = 500
MAX_HEADERS = 100
MAX_LINE = 998

# Line breaks of every kind and all other control characters: nothing of the kind belongs into a header.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ENCODED_WORD = re.compile(r"=\?[^?\s]*\?[bq]\?", re.IGNORECASE)
_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]*)>")
_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")
_MEDIA_TYPE = re.compile(
    r"(?P<main>[A-Za-z0-9!#$&^_.+-]+)/(?P<sub>[A-Za-z0-9!#$&^_.+-]+)"
    r"(?: *; *charset=\"?(?P<charset>[A-Za-z0-9_.:-]+)\"?)?"
)
_OWN_HEADERS = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "subject",
        "reply-to",
        "date",
        "message-id",
        "sender",
        "return-path",
        "received",
    }
)
_POLICY = SMTP.clone(cte_type="7bit")


class Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that goes with a message."""

    filename: str
    content_base64: str
    content_type: str = "application/octet-stream"


class EmailPayload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One message with ``text``, ``html`` or both. Addresses: ``jo@example.com`` or ``Jo <jo@x.org>``."""

    to: str | list[str]
    subject: str
    text: str | None = None
    html: str | None = None
    sender: str | None = msgspec.field(name="from", default=None)
    cc: str | list[str] = []
    bcc: str | list[str] = []
    reply_to: str | list[str] = []
    headers: dict[str, str] = {}
    attachments: list[Attachment] = []


class Mailbox(msgspec.Struct, frozen=True):
    """``address`` as it is put on the wire: the domain in ASCII, the part before it in any script."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class Message(msgspec.Struct, frozen=True):
    """Ready to leave. ``data`` has CRLF line ends; ``recipients`` are to, cc and bcc, each once."""

    id: str
    sender: str
    recipients: list[str]
    data: bytes

    @property
    def utf8(self) -> bool:
        """Whether an address has letters that only a server with SMTPUTF8 can take."""
        return not all(address.isascii() for address in (self.sender, *self.recipients))


def compose(payload: EmailPayload, *, job_id: str, sender: str, now: datetime) -> Message:
    """The message of a job; ``sender`` is for jobs that name none. BadPayload names the field that is wrong.

    The Message-ID is made from the job's id: a repeated attempt sends the same one.
    """
    author = mailbox("from", sender if payload.sender is None else payload.sender)
    lists = {name: _mailboxes(name, getattr(payload, name)) for name in ("to", "cc", "bcc", "reply_to")}
    if not lists["to"]:
        raise BadPayload("to must name at least one address.")
    recipients = list(dict.fromkeys(box.address for name in ("to", "cc", "bcc") for box in lists[name]))
    if len(recipients) > MAX_RECIPIENTS:
        raise BadPayload(
            f"to, cc and bcc may name at most {MAX_RECIPIENTS} addresses, not {len(recipients)}."
        )
    message_id = f"<rota.{job_id}@{author.domain}>"
    block = [("From", _addresses([author])), ("To", _addresses(lists["to"]))]
    block += [
        (header, _addresses(lists[name]))
        for header, name in (("Cc", "cc"), ("Reply-To", "reply_to"))
        if lists[name]
    ]
    block.append(("Subject", _fold("Subject", _bound("subject", payload.subject))))
    block += [("Date", format_datetime(now)), ("Message-ID", message_id)]
    block += _extra(payload.headers)
    head = "".join(f"{name}: {value}\r\n" for name, value in block).encode()
    if any(len(line) > MAX_LINE for line in head.split(b"\r\n")):
        raise BadPayload(f"headers: a word is longer than a line of {MAX_LINE} bytes can hold.")
    return Message(message_id, author.address, recipients, head + _content(payload))


def mailbox(field: str, text: str) -> Mailbox:
    """One address, with or without a name before it."""
    text = _bound(field, text).strip()
    named = _NAMED.fullmatch(text)
    name, address = (named["name"].strip(), named["address"]) if named else ("", text)
    if len(name) >= 2 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    local, at, domain = address.rpartition("@")
    good = at and len(local.encode()) <= 64 and all(map(_atom, local.split(".")))
    domain = _domain(domain) if good else ""
    if not domain or len(local.encode()) + len(domain) > 253:
        raise BadPayload(f"{field} must be an address such as jo@example.com, not {text[:100]!r}.")
    return Mailbox(name, f"{unicodedata.normalize('NFC', local)}@{domain}")


def _mailboxes(field: str, given: str | list[str]) -> list[Mailbox]:
    if isinstance(given, str):
        return [mailbox(field, given)]
    return [mailbox(f"{field}[{index}]", text) for index, text in enumerate(given)]


def _atom(text: str) -> bool:
    """A piece between the dots of a local part: ASCII as ever, other scripts by RFC 6531."""
    return _ATOM.fullmatch("".join("x" if c > "\x9f" and c.isprintable() else c for c in text)) is not None


def _domain(text: str) -> str:
    """The domain in ASCII, empty when it is none."""
    if text.startswith("[") and text.endswith("]"):
        literal = text[1:-1]
        try:
            if literal.lower().startswith("ipv6:"):
                return f"[IPv6:{IPv6Address(literal[5:])}]"
            return f"[{IPv4Address(literal)}]"
        except ValueError:
            return ""
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return ""
    return text if len(text) <= 253 and all(map(_LABEL.fullmatch, text.split("."))) else ""


def _bound(field: str, value: str) -> str:
    """A value that goes into a header."""
    if _CONTROL.search(value):
        raise BadPayload(f"{field} must not hold line breaks or other control characters.")
    if _ENCODED_WORD.search(value):
        raise BadPayload(f"{field} must be plain text; it is encoded as needed, not {value[:100]!r}.")
    return value


def _fold(name: str, value: str) -> str:
    """Lines of at most 78 characters where spaces allow it; encoded words for what is not ASCII."""
    value = value.strip(" ")
    if not value.isascii():
        return Header(value, "utf-8", maxlinelen=76, header_name=name).encode(linesep="\r\n")
    if len(name) + len(value) <= 76:
        return value
    # Runs of spaces could make a line of nothing but spaces. A first word too long for the line stays on it.
    value = re.sub(" +", " ", value)
    return Header(value, "us-ascii", maxlinelen=76, header_name=name).encode(linesep="\r\n").lstrip("\r\n ")


def _addresses(boxes: list[Mailbox]) -> str:
    """One mailbox a line."""
    return ",\r\n ".join(f"{_phrase(box.name)} <{box.address}>" if box.name else box.address for box in boxes)


def _phrase(name: str) -> str:
    if not name.isascii():
        return Header(name, "utf-8", maxlinelen=60).encode(linesep="\r\n")
    if re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+", name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def _extra(headers: dict[str, str]) -> list[tuple[str, str]]:
    if len(headers) > MAX_HEADERS:
        raise BadPayload(f"headers may hold at most {MAX_HEADERS} names, not {len(headers)}.")
    extra = []
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None:
            raise BadPayload(f"headers: {name[:100]!r} is not a header name.")
        low = name.lower()
        if low in _OWN_HEADERS or low.startswith(("content-", "resent-", "mime-")):
            raise BadPayload(f"headers.{name} is written by Rota and cannot be given.")
        extra.append((name, _fold(name, _bound(f"headers.{name}", value))))
    return extra


def _content(payload: EmailPayload) -> bytes:
    """The MIME headers, an empty line and the body."""
    if payload.text is None and payload.html is None:
        raise BadPayload("text or html must be given.")
    body = EmailMessage(policy=_POLICY)
    if payload.text is not None:
        body.set_content(payload.text, cte=_cte(payload.text))
    if payload.html is not None:
        add = body.set_content if payload.text is None else body.add_alternative
        add(payload.html, subtype="html", cte=_cte(payload.html))
    for index, attachment in enumerate(payload.attachments):
        _attach(body, f"attachments[{index}]", attachment)
    if "MIME-Version" not in body:
        body["MIME-Version"] = "1.0"
    return body.as_bytes()


def _cte(text: str) -> str | None:
    """How text travels: control characters only inside base64, anything else as the library thinks best."""
    return "base64" if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text.replace("\r\n", "\n")) else None


def _attach(body: EmailMessage, field: str, attachment: Attachment) -> None:
    filename = _bound(f"{field}.filename", attachment.filename)
    if not filename or len(filename) > 255 or "/" in filename or "\\" in filename:
        raise BadPayload(
            f"{field}.filename must be 1 to 255 characters without slashes, not {filename[:100]!r}."
        )
    media = _MEDIA_TYPE.fullmatch(_bound(f"{field}.content_type", attachment.content_type))
    if media is None or media["main"].lower() in ("multipart", "message"):
        raise BadPayload(
            f"{field}.content_type must be a media type such as image/png (not multipart or message),"
            f" not {attachment.content_type[:100]!r}."
        )
    try:
        content = base64.b64decode(attachment.content_base64, validate=True)
    except (binascii.Error, ValueError):
        raise BadPayload(f"{field}.content_base64 is not base64.") from None
    params = {"charset": media["charset"]} if media["charset"] else None
    body.add_attachment(
        content, maintype=media["main"], subtype=media["sub"], filename=filename, params=params
    )
