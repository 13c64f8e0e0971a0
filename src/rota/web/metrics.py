"""``/metrics`` for Prometheus and its kin: what the server knows, in OpenMetrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from rota import __version__
from rota.core.feeds import STATES, FeedFigures
from rota.core.intake import Intake
from rota.core.meter import BUCKETS, Histogram
from rota.core.queues import QueueInfo
from rota.core.service import Service
from rota.core.worker import Transport
from rota.model.job import State

CONTENT_TYPE = CONTENT_TYPE_LATEST


async def page(service: Service) -> bytes:
    """All metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(list(_families(service, await service.queues()))))
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text


class _Collector(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _families(service: Service, queues: list[QueueInfo]) -> Iterator[Metric]:
    meter = service.workers.meter
    yield InfoMetricFamily("rota_build", "This server.", value={"version": __version__})

    jobs = GaugeMetricFamily("rota_jobs", "Jobs in the store.", labels=["queue", "state"])
    oldest = GaugeMetricFamily(
        "rota_job_oldest_age_seconds", "How long the oldest pending job waits.", labels=["queue"]
    )
    paused = GaugeMetricFamily("rota_queue_paused", "1 while nothing is handed out.", labels=["queue"])
    serving = GaugeMetricFamily(
        "rota_queue_workers", "Connected workers that take jobs of a queue.", labels=["queue"]
    )
    unknown = GaugeMetricFamily(
        "rota_queue_types_without_worker", "Types with waiting jobs that no worker knows.", labels=["queue"]
    )
    for queue in queues:
        serving.add_metric([queue.name], queue.workers)
        unknown.add_metric([queue.name], len(queue.types_without_worker))
        for state in State:
            jobs.add_metric([queue.name, state], queue.counts.get(state, 0))
        oldest.add_metric([queue.name], queue.oldest_age or 0.0)
        paused.add_metric([queue.name], float(queue.paused))
    yield from (jobs, oldest, paused, serving, unknown)

    enqueued = CounterMetricFamily("rota_jobs_enqueued", "Jobs stored.", labels=["queue", "type"])
    for kind, count in meter.enqueued.items():
        enqueued.add_metric(kind, count)
    yield enqueued
    finished = CounterMetricFamily(
        "rota_jobs_finished", "Jobs that ended.", labels=["queue", "type", "outcome"]
    )
    again = CounterMetricFamily(
        "rota_jobs_requeued", "Tries after which a job waits again.", labels=["queue", "type", "end"]
    )
    for labels, count in meter.finished.items():
        finished.add_metric(labels, count)
    for labels, count in meter.requeued.items():
        again.add_metric(labels, count)
    yield from (finished, again)

    yield _histogram("rota_job_wait_seconds", "From due to handed out.", meter.waits)
    yield _histogram("rota_job_run_seconds", "From handed out to reported.", meter.runs)

    roster = list(service.workers.roster.values())
    workers = GaugeMetricFamily("rota_workers", "Connected workers.", labels=["transport"])
    connected = Counter(worker.transport for worker in roster)
    for transport in get_args(Transport):
        workers.add_metric([transport], connected[transport])
    slots = GaugeMetricFamily("rota_worker_slots", "Places in workers.", labels=["state"])
    taken = sum(len(worker.taken) for worker in roster)
    slots.add_metric(["taken"], taken)
    slots.add_metric(["free"], max(0, sum(worker.slots for worker in roster) - taken))
    yield from (workers, slots)

    yield CounterMetricFamily(
        "rota_leases_expired", "Jobs whose worker was lost.", value=meter.expired_leases
    )
    yield GaugeMetricFamily("rota_loop_lag_seconds", "How late the last timer came.", value=meter.lag)
    yield from _kafka_in(service.intake)
    yield from _feeds(service.feeds.figures())
    vitals = service.engine.vitals()
    yield SummaryMetricFamily(
        "rota_store_commit_seconds",
        "Commits and the time they took.",
        count_value=int(vitals["commits"]),
        sum_value=vitals["commit_seconds"],
    )


def _kafka_in(intake: Intake) -> Iterator[Metric]:
    """Nothing where nothing comes in."""
    if not intake.away:
        return
    connected = GaugeMetricFamily(
        "rota_kafka_in_connected", "1 while a broker answers the readers of a group.", labels=["group"]
    )
    for group, away in intake.away.items():
        connected.add_metric([group], float(away is None))
    labels = ["group", "topic", "partition"]
    lag = GaugeMetricFamily("rota_kafka_in_lag_records", "Records that wait to be read.", labels=labels)
    stopped = GaugeMetricFamily("rota_kafka_in_stopped", "1 while a partition stands still.", labels=labels)
    for one in intake.sorted():
        names = [one.group, one.topic, str(one.partition)]
        if one.lag is not None:
            lag.add_metric(names, one.lag)
        stopped.add_metric(names, float(one.stopped is not None))
    records = CounterMetricFamily(
        "rota_kafka_in_records", "Records that became jobs.", labels=["group", "topic"]
    )
    dead = CounterMetricFamily(
        "rota_kafka_in_dead_letters", "Records that could not become jobs.", labels=["group", "topic"]
    )
    for family, counter in ((records, intake.records), (dead, intake.dead)):
        for names_, count in sorted(counter.items()):
            family.add_metric(names_, count)
    yield from (connected, lag, stopped, records, dead)


def _feeds(feeds: list[FeedFigures]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("rota_feed_waiting", "Events that wait to be passed on.", labels=["feed"])
    age = GaugeMetricFamily(
        "rota_feed_oldest_age_seconds", "How long the oldest event waits to be passed on.", labels=["feed"]
    )
    dropped = CounterMetricFamily(
        "rota_feed_dropped", "Events dropped since the feed is on: the backlog was full.", labels=["feed"]
    )
    passed = CounterMetricFamily("rota_feed_passed", "Events that this server passed on.", labels=["feed"])
    cut = CounterMetricFamily(
        "rota_feed_cut", "Events passed on without a result or an error that was too long.", labels=["feed"]
    )
    up = GaugeMetricFamily(
        "rota_feed_state", "1 for the state of this server's part in the feed.", labels=["feed", "state"]
    )
    for one in feeds:
        waiting.add_metric([one.feed], one.waiting)
        age.add_metric([one.feed], one.oldest_age)
        dropped.add_metric([one.feed], one.dropped)
        passed.add_metric([one.feed], one.passed)
        cut.add_metric([one.feed], one.cut)
        for state in STATES if one.state is not None else ():
            up.add_metric([one.feed, state], float(one.state == state))
    yield from (waiting, age, dropped, passed, cut, up)


def _histogram(name: str, told: str, found: Mapping[tuple[str, str], Histogram]) -> Metric:
    family = HistogramMetricFamily(name, told, labels=["queue", "type"])
    bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
    for kind, histogram in found.items():
        rising = zip(bounds, accumulate(histogram.counts), strict=True)
        family.add_metric(kind, [(bound, float(count)) for bound, count in rising], histogram.sum)
    return family
