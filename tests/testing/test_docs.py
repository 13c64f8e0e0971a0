"""The examples of docs/testing.md, run as they stand: its program, its configuration, its tests."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from rota.testing import run

pytest_plugins = ["pytester"]

TEXT = (Path(__file__).parents[2] / "docs/testing.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL)


def test_every_example_passes(pytester: pytest.Pytester) -> None:
    program, *tests = blocks("python")
    [ini] = blocks("ini")
    pytester.makepyfile(shop=program)
    pytester.makeini(
        ini + "pythonpath = .\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    for number, test in enumerate(tests):
        pytester.makepyfile(**{f"test_example_{number}": "import pytest\n" + test})
    written = sum(len(re.findall(r"^(?:async )?def test_", test, re.MULTILINE)) for test in tests)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--strict-config")
    result.assert_outcomes(passed=written)
    assert written >= 9


def test_the_message_of_the_page_is_the_one_that_comes(pytester: pytest.Pytester) -> None:
    program = blocks("python")[0]
    [message] = blocks("text")
    pytester.makepyfile(shop=program)
    pytester.makepyfile(
        f"""
        import pytest, rota.testing, shop

        def test_the_message():
            with rota.testing.run(shop.app) as t:
                shop.sign_up(8)
                with pytest.raises(AssertionError) as failed:
                    t.assert_enqueued(shop.welcome, args={{"user": 7}})
                assert "AssertionError: " + str(failed.value) + "\\n" == {message!r}
        """
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio").assert_outcomes(passed=1)


def test_every_option_has_its_row_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) ?\|", TEXT, re.MULTILINE))
    options = {
        name: parameter.default
        for name, parameter in inspect.signature(run).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert list(rows) == list(options)
    words = {True: "yes", False: "no", 10_000: "10,000"}
    for name, default in options.items():
        if default is not None and name != "slots":
            assert rows[name] == words.get(default, str(default)), name
