"""Starting with Kafka set: over TLS, with options nobody knows, without the driver."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path

import trustme

from tests import broker
from tests.edges.kit import QUICK, numbers, reading
from tests.server import environment

SET = {
    "ROTA_KAFKA__BROKERS": "127.0.0.1:1",
    "ROTA_KAFKA__IN": "orders=work",
    "ROTA_PROGRAMS__ENABLED": "false",
}


def started(program: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    flags = ["serve", "--listen", "127.0.0.1:0"]
    return subprocess.run(
        [sys.executable, "-c", program, *flags],
        env=environment({**SET, **env}),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_without_the_driver_the_server_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys\nsys.modules['confluent_kafka'] = None\nfrom rota.cli import main\nsys.exit(main())\n"
    )
    ran = started(program, tmp_path)
    assert ran.returncode == 2
    assert "kafka: needs the package confluent-kafka: pip install 'rota[kafka]'." in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "rota.db").exists()


def test_an_option_that_the_driver_does_not_know_ends_the_start(tmp_path: Path) -> None:
    ran = started(
        "import sys; from rota.cli import main; sys.exit(main())",
        tmp_path,
        ROTA_KAFKA__OPTIONS="ssl.nonsense=1",
    )
    assert ran.returncode == 2
    assert 'kafka.options: No such configuration property: "ssl.nonsense".' in ran.stderr


def test_tls_is_spoken_and_looked_at(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trusted = {"security.protocol": "ssl", "ssl.ca.location": str(tmp_path / "ca.pem")}
    with broker.running(tls) as kafka:
        topic = kafka.topic()
        kafka.produce(topic, numbers(0, 5))
        options = json.dumps({**QUICK, **trusted})
        with reading(kafka, tmp_path, topic, ROTA_KAFKA__OPTIONS=options) as server:
            server.until(5)
        options = json.dumps({**QUICK, "security.protocol": "ssl"})
        with reading(kafka, tmp_path, topic, ROTA_KAFKA__OPTIONS=options) as server:
            told = server.wait_for("kafka: no broker answers")
            assert "certificate" in told["why"].lower()
