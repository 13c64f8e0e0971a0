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
        "fingerprint": "Of a failed job: what it shares with all that failed alike.",
        "progress": "What its handler said last.",
        "waiting_because": "Why a pending job does not run yet, in words.",
    },
    "JobWhole": {
        "error": "The last one, unless the job is done.",
        "attempts": "All tries, oldest first.",
        "result": "What the handler returned; null while there is none.",
    },
    "Filter": {
        "state": "One state, several parted by commas, or a list.",
        "queue": "Only jobs of this queue, or of one of these.",
        "type": "Only jobs of this type, or of one of these.",
        "tag": "Only jobs with this tag, or with all of these.",
        "worker": "Only jobs that this worker runs or ran last.",
        "since": "Only jobs stored at this time or later.",
        "until": "Only jobs stored before this time.",
        "q": "Only jobs with this text in their type, a tag, or the beginning of their id.",
        "fingerprint": "Only failed jobs of this group.",
        "id": "Only jobs whose id begins so.",
        "error": "Only jobs with this text, letter case ignored, in type or message of their last error.",
        "payload": "Only jobs with this member in their payload, as PATH:VALUE, or with all of these.",
        "ids": "Only these jobs, up to 10,000.",
    },
    "BulkRequest": {
        "filter": "Which jobs are meant.",
        "all": "In place of a filter: every job.",
        "dry_run": "Count only.",
        "limit": "At most so many jobs, oldest first.",
        "cursor": "Go on where the answer with this `cursor` ended.",
    },
    "BulkProgress": {
        "matched": "Jobs of the filter that were met; of a dry run all that there are.",
        "changed": "Those to which it was done.",
        "skipped": "Those that run (delete), that were asked to stop before (cancel), whose unique key "
        "another job holds (retry), or that changed in the meantime.",
        "cursor": "Asks for the rest; null: there is none.",
    },
    "JobExplanation": {
        "now": "When the server said this.",
        "cause": "Code of the first cause.",
        "sentence": "The first cause, for people.",
        "at": "When the job is expected to start.",
        "certainty": "What `at` is worth; `not_before`: something else has to change first, or too many jobs "
        "are ahead to count; `never`: it expires first.",
    },
    "JobCause": {
        "cause": "A stable code; docs/api.md lists them.",
        "sentence": "For people.",
        "at": "When it passes.",
        "numbers": "What it rests on, by name: those that end in `_at` are times, durations are seconds.",
    },
    "FailureGroup": {
        "fingerprint": "Names the group in lists and filters.",
        "error": "The class of the error; or the reason, where the server ended the jobs.",
        "frame": "`file:function` of the innermost frame of the user's own code.",
        "message": "Of the latest failure.",
        "job": "One of the jobs that are there.",
        "jobs": "How many are failed now.",
        "hours": "Failures in each of the last 24 hours, the present one last, whatever became of the jobs.",
    },
    "FoundThing": {
        "code": "Stable; docs/api.md lists them.",
        "level": "`ok`: good to know, no more.",
        "sentence": "For people.",
        "numbers": "What it rests on, by name: those that end in `_at` are times, durations are seconds.",
        "queue": "The queue it is about, if it is about one.",
        "type": "The type it is about, if it is about one.",
        "command": "Something to type that helps; `app:app` stands for your program.",
    },
    "TypeInfo": {
        "queues": "Where workers take it; where nobody does, the queues that its jobs are in.",
        "workers": "How many connected workers know it.",
        "built_in": "The server itself can run it.",
        "description": "What it does; null: nobody told.",
        "schema": "JSON Schema of the payload; null: nobody told.",
        "example": "A payload; null: there is none.",
        "accepts": "What a payload may be: `json`, `zip` (an archive as the body of the request), `bytes`.",
    },
    "Setting": {
        "key": "As in docs/configuration.md.",
        "value": "In seconds or bytes, where it is a time or a size; `***`: a secret that is set.",
        "said": "A line of a file, a variable or a flag; null: nobody said it.",
    },
    "Figures": {
        "resolution": "Seconds of a point.",
        "points": "How many entries each list has.",
        "up": "When a server was up.",
        "series": "One line for each group, the busiest first; without groups one in all.",
    },
    "FiguresLine": {
        "queue": "null: all queues, or several.",
        "type": "null: all types, or several.",
        "others": "The rest is one line: so many groups are in it.",
        "wait": "From due to handed out.",
        "run": "From handed out to reported.",
        "pending": "At the end of the point; left out where figures are told by type.",
        "scheduled": "As `pending`.",
        "running": "As `pending`.",
        "oldest_age": "Seconds for which the oldest pending job waits.",
    },
}
INHERITED = {"JobWhole": "JobInList"}


def meaning(schema: str, field: str) -> str | None:
    """One sentence, where there is one."""
    found = MEANINGS.get(schema, {}).get(field)
    return found or MEANINGS.get(INHERITED.get(schema, ""), {}).get(field)
