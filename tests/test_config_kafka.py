"""The settings of Kafka: what they may be, what is refused by name, and what nobody gets to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from rota.config import describe, load
from rota.config.kafka import Input
from rota.model.errors import BadConfig

WHERE = {"ROTA_KAFKA__BROKERS": "one:9092, two:9093"}
YAML = """
kafka:
  brokers: [one:9092]
  password: the-password
  options:
    {security.protocol: sasl_ssl, sasl.mechanism: PLAIN, sasl.username: rota, ssl.key.password: the-key}
  in:
    - {topic: orders, type: order.placed, queue: shop, priority: 3, timeout: 5m, max_payload: 1 MiB,
       start: latest}
    - {topic: mixed, type_from: "header:kind", group: other, dead_letter: bad}
  out: {topic: events, events: [finished], backlog: 5000}
"""


def complaint(**env: str) -> str:
    with pytest.raises(BadConfig) as caught:
        load(None, {f"ROTA_KAFKA__{name.upper()}": value for name, value in env.items()})
    return "\n".join(caught.value.complaints)


def shown(settings: object) -> dict[str, str]:
    return {one.key: one.text for one in describe(settings)}  # type: ignore[arg-type]


def test_a_file_says_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "rota.yaml").write_text(YAML)
    settings = load(tmp_path / "rota.yaml", {})
    kafka = settings.kafka
    assert kafka.in_ == (
        Input(
            topic="orders",
            type="order.placed",
            queue="shop",
            priority=3,
            timeout=300.0,
            max_payload=1024**2,
            start="latest",
            dead_letter="orders.dead",
        ),
        Input(topic="mixed", type_from="header:kind", group="other", dead_letter="bad"),
    )
    assert (kafka.out.topic, kafka.out.events, kafka.out.backlog) == ("events", ("finished",), 5000)
    assert kafka.wanted
    assert sorted(kafka.secrets) == ["the-key", "the-password"]
    text = shown(settings)
    assert text["kafka.password"] == "***"
    assert text["kafka.options"].endswith("sasl.username=rota, ssl.key.password=***")
    assert text["kafka.in"] == (
        "orders=order.placed, queue shop, priority 3, timeout 300.0, max_payload 1 MiB, start latest; "
        "mixed=(header:kind), group other, dead_letter bad"
    )
    assert "the-" not in repr([one.value for one in describe(settings)])


def test_the_environment_says_it_as_text_or_as_json(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from a file\n")
    env = {
        **WHERE,
        "ROTA_KAFKA__IN": "orders=order.placed,mail=send_email",
        "ROTA_KAFKA__OPTIONS": "client.rack=a, socket.timeout.ms=5000",
        "ROTA_KAFKA__PASSWORD_FILE": str(tmp_path / "password"),
    }
    kafka = load(None, env).kafka
    assert kafka.brokers == ("one:9092", "two:9093")
    assert [(one.topic, one.type, one.dead_letter) for one in kafka.in_] == [
        ("orders", "order.placed", "orders.dead"),
        ("mail", "send_email", "mail.dead"),
    ]
    assert kafka.options == {"client.rack": "a", "socket.timeout.ms": "5000"}
    assert kafka.password is not None
    assert kafka.password.reveal() == "from a file"
    env["ROTA_KAFKA__IN"] = '[{"topic": "orders", "type_from": "key"}]'
    env["ROTA_KAFKA__OPTIONS"] = '{"enable.ssl.certificate.verification": false}'
    kafka = load(None, env).kafka
    assert kafka.in_[0].type_from == "key"
    assert kafka.options == {"enable.ssl.certificate.verification": "false"}


def test_nothing_is_wanted_until_something_is_named() -> None:
    assert not load(None, {}).kafka.wanted
    assert not load(None, WHERE).kafka.wanted


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('[{"topic": "a b", "type": "x"}]', "has the topic 'a b'; a topic has 1 to 249 of"),
        ('[{"type": "x"}]', "has the topic 'None'"),
        ('[{"topic": "a"}]', "needs type or type_from for a, just one of them"),
        ('[{"topic": "a", "type": "x", "type_from": "key"}]', "needs type or type_from for a"),
        ('[{"topic": "a", "type": "..x"}]', "has for a the type '..x', which is no name"),
        ('[{"topic": "a", "type_from": "body"}]', "it is key, header:NAME or field:NAME"),
        ('[{"topic": "a", "type": "x", "que": "q"}]', "has for a 'que', which is none of topic, group, type"),
        ('[{"topic": "a", "type": "x", "queue": "q q"}]', "has for a queue 'q q', which must be the name"),
        ('[{"topic": "a", "type": "x", "priority": 101}]', "has for a priority '101', which must be a whole"),
        ('[{"topic": "a", "type": "x", "start": "now"}]', "which must be one of earliest, latest"),
        ('[{"topic": "a", "type": "x", "dead_letter": "a"}]', "has for a itself as dead_letter"),
        ('[{"topic": "a", "type": "x", "dead_letter": null}]', "has for a dead_letter 'None'"),
        ("a=x,a=y", "has the topic a twice in the group rota"),
        ("a", "must be a list such as"),
        ("[1", "is not JSON"),
    ],
)
def test_an_input_that_cannot_be_is_refused(given: str, told: str) -> None:
    assert told in complaint(brokers="one:9092", **{"in": given})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("group.id=x", "must not have group.id: say group with the topic in kafka.in"),
        ("enable.auto.commit=true", "must not have enable.auto.commit: Rota commits"),
        ("plugin.library.paths=/tmp/x.so", "must not have plugin.library.paths: it loads code"),
        ("sasl.kerberos.kinit.cmd=sh", "must not have sasl.kerberos.kinit.cmd: it runs a command"),
        ("test.mock.num.brokers=3", "must not have test.mock.num.brokers"),
        ("Client Rack=a", "has 'Client Rack', which is no name of an option"),
        ('{"client.rack": null}', "needs a text or a number for client.rack"),
        ("client.rack", "needs a text or a number for client.rack"),
        ("sasl.password=very-secret,client.rack", "needs a text or a number for client.rack."),
    ],
)
def test_an_option_that_is_not_theirs_is_refused_by_name(given: str, told: str) -> None:
    text = complaint(options=given)
    assert told in text
    assert "very-secret" not in text


def test_what_does_not_go_together() -> None:
    assert "kafka.in (ROTA_KAFKA__IN): needs kafka.brokers" in complaint(**{"in": "a=b"})
    assert "needs kafka.brokers" in complaint(out__topic="a")
    twice = complaint(brokers="a:1", password="x", options="sasl.password=y")
    assert "kafka.password (ROTA_KAFKA__PASSWORD): is in kafka.options, too" in twice
    assert "would go round in a ring" in complaint(brokers="a:1", out__topic="a", **{"in": "a=b"})
    assert "kafka.brokers (ROTA_KAFKA__BROKERS): must be a list of HOST:PORT" in complaint(brokers="a")
