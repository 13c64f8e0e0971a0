"""What the settings mean to the core: the rules for workers and the limits of jobs."""

from __future__ import annotations

from rota.config import Settings
from rota.core.reports import Rules
from rota.model.clock import seconds
from rota.model.spec import Limits


def rules(settings: Settings) -> Rules:
    """For workers and their leases."""
    return Rules(
        lease=seconds(settings.lease),
        beat=seconds(settings.beat),
        socket_grace=seconds(settings.socket_grace),
        result_bytes=settings.result_limit,
        log_lines=settings.log_lines,
    )


def limits(settings: Settings) -> Limits:
    """For jobs that come in."""
    return Limits(
        payload_bytes=settings.payload_limit,
        upload_bytes=settings.upload_limit,
        artifact_bytes=settings.artifact_limit,
        max_attempts=settings.max_attempts,
        retention=seconds(settings.retention),
    )
