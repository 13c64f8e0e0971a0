"""The fixtures of the pytest plugin, in projects of their own."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

pytest_plugins = ["pytester"]

JOBS = """
import rota

app = rota.App()
sent = []

@app.task
def send(user: int) -> int:
    sent.append(user)
    return user

@app.task
async def asend(user: int) -> int:
    sent.append(user)
    return user
"""

SYNC = """
from shop_jobs import send, sent

def test_one(rota_jobs):
    handle = send.options(delay=3600).enqueue(7)
    rota_jobs.advance("59m")
    assert sent == []
    rota_jobs.advance("1m")
    assert rota_jobs.assert_done(handle) == 7

def test_two(rota_jobs):
    assert rota_jobs.enqueued() == [], "every test has its own"
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(shop_jobs=JOBS)
    return pytester


STRICT = ("--strict-markers", "--strict-config", "-W", "error", "-p", "no:cacheprovider")
OTHERS = ("hypothesispytest", "schemathesis", "xdist", "timeout")
"""Plugins that are here for Rota's own tests and would only cost time."""


def run(project: pytest.Pytester) -> pytest.RunResult:
    """A strict pytest."""
    return project.runpytest_inprocess(*STRICT, "-p", "no:asyncio")


def run_apart(project: pytest.Pytester, without: str) -> pytest.RunResult:
    """A strict pytest in a process of its own."""
    without_all = [word for name in (*OTHERS, without) for word in ("-p", f"no:{name}")]
    return project.runpytest_subprocess(*STRICT, *without_all, timeout=50)


def test_the_app_is_named_in_the_configuration(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nrota_app = shop_jobs:app\npythonpath = .")
    project.makepyfile(SYNC)
    run(project).assert_outcomes(passed=2)


def test_the_app_is_a_fixture_of_the_project(project: pytest.Pytester) -> None:
    project.makeconftest("import pytest, shop_jobs\n\n@pytest.fixture\ndef rota_app(): return shop_jobs.app")
    project.makepyfile(SYNC)
    run(project).assert_outcomes(passed=2)


def test_the_app_and_its_options_are_named_by_a_marker(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest, shop_jobs

        pytestmark = pytest.mark.rota(shop_jobs.app, start="2020-02-29T12:00:00Z")

        @pytest.mark.rota("shop_jobs:app", raise_failures=True)
        def test_options(rota_jobs):
            assert rota_jobs.now.isoformat() == "2020-02-29T12:00:00+00:00"
            assert rota_jobs.raise_failures

        def test_of_the_module(rota_jobs):
            assert not rota_jobs.raise_failures
            shop_jobs.send.enqueue(1)
            assert rota_jobs.run_due() == {"done": 1}
        """
    )
    run(project).assert_outcomes(passed=2)


def test_without_an_app_the_error_says_how(project: pytest.Pytester) -> None:
    project.makepyfile(SYNC)
    result = run(project)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(['*Which app? Say rota_app = "shop.jobs:app" in pytest*'])
    project.makeini("[pytest]\nrota_app = shop_jobs:nothing")
    run(project).stdout.fnmatch_lines(["*rota_app 'shop_jobs:nothing' cannot be found: *nothing*"])


ASYNC = """
import asyncio
import pytest
from shop_jobs import asend, send, sent

{mark}
async def test_awaited(rota_ajobs):
    handle = await asend.options(delay=3600).aenqueue(7)
    await rota_ajobs.advance("1h")
    assert await handle.aresult() == 7
    send.enqueue(8)
    assert await rota_ajobs.run_due() == {{"done": 1}}

{mark}
async def test_plain_in_a_coroutine(rota_jobs):
    handle = await asend.aenqueue(7)
    rota_jobs.run_due()
    assert rota_jobs.assert_done(handle) == 7
"""


def test_with_pytest_asyncio(project: pytest.Pytester) -> None:
    project.makeini(
        "[pytest]\nrota_app = shop_jobs:app\npythonpath = .\nasyncio_mode = strict\n"
        "asyncio_default_fixture_loop_scope = function"
    )
    project.makepyfile(ASYNC.format(mark="@pytest.mark.asyncio"))
    run_apart(project, without="anyio").assert_outcomes(passed=2)


def test_with_anyio(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nrota_app = shop_jobs:app\npythonpath = .")
    project.makeconftest("import pytest\n\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'")
    project.makepyfile(ASYNC.format(mark="@pytest.mark.anyio"))
    run_apart(project, without="asyncio").assert_outcomes(passed=2)


def test_a_failing_assertion_shows_the_test_and_none_of_our_lines(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nrota_app = shop_jobs:app\npythonpath = .")
    project.makepyfile(
        """
        from shop_jobs import send

        def test_one(rota_jobs):
            send.enqueue(8)
            rota_jobs.assert_enqueued(send, args={"user": 7})
        """
    )
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*args.user: expected 7, was 8", "*test_*.py:5: AssertionError"])
    result.stdout.no_fnmatch_line("*rota/testing*")


def test_unittest_enters_a_run_as_any_context(project: pytest.Pytester) -> None:
    program = dedent(
        """
        import unittest
        import rota.testing
        from shop_jobs import app, asend, send

        class Plain(unittest.TestCase):
            def setUp(self):
                self.t = self.enterContext(rota.testing.run(app))

            def test_one(self):
                handle = send.enqueue(7)
                self.t.run_due()
                self.assertEqual(self.t.assert_done(handle), 7)

        class Awaited(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                self.t = await self.enterAsyncContext(rota.testing.run(app))

            async def test_one(self):
                handle = await asend.aenqueue(7)
                await self.t.run_due()
                self.assertEqual(self.t.assert_done(handle), 7)
        """
    )
    project.makepyfile(cases=program)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "unittest", "cases"],
        cwd=project.path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 2 tests" in done.stderr


def test_the_plugin_costs_nothing_where_it_is_not_used(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import sys

        def test_nothing_is_loaded():
            loaded = {name for name in sys.modules if name.startswith("rota.")}
            assert loaded == {"rota.testing", "rota.testing.plugin"}
            assert not {"apsw", "msgspec", "httpx2", "uuid_utils"} & set(sys.modules)
        """
    )
    run_apart(project, without="asyncio").assert_outcomes(passed=1)
