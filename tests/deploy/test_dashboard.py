"""deploy/grafana.json and deploy/alerts.yml: they ask for what /metrics really has, and leave nothing out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.web.kit import Site, serving, until

DEPLOY = Path(__file__).parents[2] / "deploy"
SCRAPED = {"instance", "job"}
"""Labels that Prometheus itself adds."""
FUNCTIONS = {
    "sum", "max", "count", "rate", "increase", "absent", "vector", "histogram_quantile", "label_values",
}  # fmt: skip
WORDS = {"by", "and", "on", "unless", "or", "le", "inf"}


def board() -> Any:
    return json.loads((DEPLOY / "grafana.json").read_text())


def family(sample: str) -> str:
    """The metric that a sample is a part of."""
    return re.sub(r"_(bucket|sum|count|created)$", "", sample)


def panels() -> list[Any]:
    return [panel for panel in board()["panels"] if panel["type"] != "row"]


def rules() -> list[Any]:
    [group] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def expressions() -> Iterator[tuple[str, str]]:
    """Every query with the name of what asks it."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in board()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]
    for rule in rules():
        yield rule["alert"], rule["expr"]


Samples = dict[str, dict[str, set[str]]]


@pytest.fixture
def store(tmp_path: Path) -> str:
    """The URL of an empty store."""
    return f"sqlite:///{tmp_path}/rota.db"


@pytest.fixture
async def samples(store: str) -> Samples:
    """Names of samples, with their labels and values, of a server on which everything has happened."""
    async with serving(store, timers=True) as site:
        await bring_about(site)
        text = (await site.http.get("/metrics")).text
    found: Samples = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


async def bring_about(site: Site) -> None:
    async with site.worker("w1", slots=3) as worker:
        await site.enqueue_many(3)
        first, second, third = await worker.jobs(3)
        await worker.done(first)
        error = {"type": "E", "message": "m"}
        await worker.finish({"id": second["id"], "lease": second["lease"], "end": "failed", "error": error})
        report = {"id": third["id"], "lease": third["lease"], "end": "failed", "error": error, "retry": False}
        await worker.finish(report)
        await site.post("/v1/queues/mail/pause")
        await site.service.feeds.want("kafka", ("enqueued",), 1000, 100)
        site.service.feeds.fares("kafka", "publishing")
        await site.enqueue(queue="mail")
        await site.service.feeds.keep()
        await until(lambda: site.service.workers.meter.lag > 0, "a look at the clock")


@pytest.mark.parametrize(("who", "asked"), list(expressions()), ids=lambda value: value[:40])
def test_what_is_asked_for_is_there(who: str, asked: str, samples: Samples) -> None:
    plain = re.sub(r'"[^"]*"', '""', asked)
    for opening, closing in ("()", "{}", "[]"):
        assert plain.count(opening) == plain.count(closing)
    used = list(re.finditer(r"\b(rota_\w+)(?:\{([^}]*)\})?", asked))
    assert used
    labels: set[str] = set()
    for match in used:
        name, selectors = match[1], match[2]
        assert name in samples, name
        labels |= set(samples[name])
        for selector in re.findall(r"[^,]+", selectors or ""):
            label, value = re.fullmatch(r'(\w+)=~?"([^"]*)"', selector.strip()).groups()  # type: ignore[union-attr]
            assert label in SCRAPED | set(samples[name]), (name, label)
            if not value.startswith("$") and label not in SCRAPED:
                assert value in samples[name][label], (name, label, value)
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", asked):
        assert {label.strip() for label in group.split(",")} <= labels | SCRAPED
    rest = re.sub(r"\brota_\w+(\{[^}]*\})?|\b(by|on) \([^)]*\)|\[[^\]]*\]|[\d.]+", " ", asked)
    assert set(re.findall(r"[a-z_]+", rest)) - {"instance", "queue"} <= FUNCTIONS | WORDS


def test_counters_are_asked_for_their_rate_and_gauges_for_their_value() -> None:
    for who, asked in expressions():
        for match in re.finditer(r"(?:(\w+)\()?\b(rota_\w+)(?:\{[^}]*\})?(\[)?", asked):
            counts = match[2].endswith(("_total", "_bucket", "_sum", "_count"))
            assert (match[1] in ("rate", "increase")) == bool(match[3]) == counts, (who, match[0])


def test_every_metric_is_on_the_board(samples: Samples) -> None:
    asked = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    shown = {family(name) for name in re.findall(r"\brota_\w+", asked)}
    assert sorted({family(name) for name in samples} - shown) == []


def test_legends_name_labels_that_the_query_keeps() -> None:
    for panel in panels():
        for target in panel["targets"]:
            used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            groups = ",".join(re.findall(r"by \(([^)]*)\)", target["expr"]))
            if used and groups:
                assert used <= set(re.split(r"\W+", groups)), panel["title"]


def test_the_board_can_be_imported_anywhere() -> None:
    """The data source is chosen when it is opened; ids are its own; no panel lies on another."""
    whole = board()
    assert whole["id" if "id" in whole else "uid"] == "rota"
    variables = {variable["name"]: variable for variable in whole["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert [panel["id"] for panel in whole["panels"]] == list(range(1, len(whole["panels"]) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in whole["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells
        assert at["x"] + at["w"] <= 24
        taken |= cells
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    known = {f"${name}" for name in variables} | {"$__rate_interval"}
    assert (
        set(re.findall(r"\$\w+", " ".join(expr for _, expr in expressions() if "$labels" not in expr)))
        <= known
    )


def test_the_alerts_are_complete() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].endswith(".")
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "0m"))
        used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert all(label in rule["expr"] or label == "queue" for label in used)


def test_every_alert_is_explained() -> None:
    text = (DEPLOY.parent / "docs" / "operations.md").read_text()
    assert not [rule["alert"] for rule in rules() if f"`{rule['alert']}`" not in text]


def test_every_metric_is_documented(samples: Samples) -> None:
    text = (DEPLOY.parent / "docs" / "operations.md").read_text()
    assert not [name for name in {family(name) for name in samples} if f"`{name}" not in text]
