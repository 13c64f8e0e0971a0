"""/metrics: the figures are right, and a reader of OpenMetrics can read them."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from rota.core.meter import MAX_KINDS, OTHERS, Meter
from tests.web.kit import Site


async def read(site: Site) -> dict[tuple[str, tuple[str, ...]], float]:
    """Samples by name and label values, labels by name."""
    answer = await site.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


async def test_the_figures(site: Site) -> None:
    async with site.worker("w1", slots=3) as worker:
        await site.enqueue_many(3)
        first, _, third = await worker.jobs(3)
        await worker.done(first)
        error = {"type": "E", "message": "m"}
        await worker.finish(failed(third, error))
        await site.post("/v1/queues/mail/pause")
        await site.enqueue(queue="mail")
        found = await read(site)
    assert found["rota_jobs", ("default", "done")] == 1
    assert found["rota_jobs", ("default", "running")] == 1
    assert found["rota_jobs", ("mail", "pending")] == 1
    assert found["rota_queue_paused", ("mail",)] == 1
    assert found["rota_job_oldest_age_seconds", ("mail",)] >= 0
    assert found["rota_queue_workers", ("default",)] == 1
    assert found["rota_queue_workers", ("mail",)] == 0
    assert found["rota_queue_types_without_worker", ("default",)] == 0
    assert found["rota_queue_types_without_worker", ("mail",)] == 1
    assert found["rota_jobs_enqueued_total", ("default", "work")] == 3
    assert found["rota_jobs_finished_total", ("done", "default", "work")] == 1
    assert found["rota_jobs_requeued_total", ("failed", "default", "work")] == 1
    assert found["rota_job_wait_seconds_count", ("default", "work")] == 3
    assert found["rota_job_run_seconds_count", ("default", "work")] == 2
    assert found["rota_job_run_seconds_bucket", ("+Inf", "default", "work")] == 2
    assert found["rota_workers", ("socket",)] == 1
    assert found["rota_worker_slots", ("taken",)] == 1
    assert found["rota_worker_slots", ("free",)] == 2
    assert found["rota_store_commit_seconds_count", ()] > 0


def failed(job: dict[str, object], error: dict[str, str]) -> dict[str, object]:
    """A failed ending of a job."""
    return {"id": job["id"], "lease": job["lease"], "end": "failed", "error": error}


async def test_what_was_not_stored_is_not_counted(site: Site) -> None:
    for _ in range(2):
        await site.http.post(
            "/v1/jobs", json={"type": "work", "unique_key": "k"}, headers={"idempotency-key": "same"}
        )
    assert (await read(site))["rota_jobs_enqueued_total", ("default", "work")] == 1


def test_kinds_are_bounded() -> None:
    meter = Meter()
    for n in range(MAX_KINDS + 10):
        meter.stored({("q", str(n)): 1})
    meter.stored({("q", "0"): 1})
    assert len(meter.enqueued) == MAX_KINDS + 1
    assert (meter.enqueued[OTHERS], meter.enqueued["q", "0"]) == (10, 2)
