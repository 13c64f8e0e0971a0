"""What fields mean, for those who read the description and not docs/api.md."""

from __future__ import annotations

from collections.abc import Mapping

NAME = "letters, digits and `. _ : / -`, beginning with a letter, a digit or `_`, without `..`"

MEANINGS: Mapping[str, Mapping[str, str]] = {
    "JobSpec": {
        "type": f"The handler it wants: {NAME}.",
        "payload": "What the handler gets.",
        "payload_base64": "Bytes in place of `payload`, with their `content_type`.",
        "content_type": "Of `payload_base64`; `application/octet-stream` when left out.",
        "headers": "Texts that travel with the job to its handler.",
        "queue": f"The line it stands in, `default` when left out: {NAME}.",
        "priority": "High first; then age.",
        "run_at": "Not before this time.",
        "delay": "Not before so many seconds from now, in place of `run_at`.",
        "expires_at": "Still waiting then, it is cancelled with reason `expired`.",
        "timeout": "Seconds for one attempt.",
        "max_attempts": "How often it is tried; the setting `max_attempts` when left out.",
        "retry": "When it is tried again; exponential when left out.",
        "tags": "Texts to find it by, up to 32.",
        "unique_key": "No second job with this key while it holds; the answer names the holder.",
        "unique_states": "Where the key holds: at least scheduled and pending.",
        "idempotency_key": "The same request again gives the same job, for 24 hours.",
        "retention": "Seconds for which it is kept once ended; the setting `retention` when left out.",
    },
    "JobInList": {
        "type": "The handler it wants.",
        "attempt": "The attempt it is in, or was in last.",
        "run_at": "Not before; for a retry, when its backoff is over.",
        "started_at": "Of the last attempt.",
        "expires_at": "Still waiting then, it is cancelled.",
        "timeout": "Seconds for one attempt.",
        "retention": "Seconds for which it is kept once ended.",
        "retry": "As it was given; null: exponential.",
        "unique_states": "Where the unique key holds.",
        "worker": "Who runs it, or ran it last.",
        "lease": "Grows with every claim; reports on the job show it.",
        "lease_until": "Without a beat until then, it goes to another worker.",
        "losses": "How many workers were lost with it; the third makes it `failed`.",
        "cancel_requested": "Its worker was asked to stop.",
        "reason": "Why it failed or was cancelled.",
        "progress": "What its handler said last.",
        "waiting_because": "Why a pending job does not run yet, in words.",
    },
    "JobWhole": {
        "error": "The last one, unless the job is done.",
        "attempts": "All tries, oldest first.",
        "result": "What the handler returned; null while there is none.",
    },
}
INHERITED = {"JobWhole": "JobInList"}


def meaning(schema: str, field: str) -> str | None:
    """One sentence, where there is one."""
    found = MEANINGS.get(schema, {}).get(field)
    return found or MEANINGS.get(INHERITED.get(schema, ""), {}).get(field)
