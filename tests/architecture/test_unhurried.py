"""No test is timed by hypothesis: one profile says so, for all."""

import ast
from pathlib import Path

from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

TESTS = Path(__file__).parents[1]
LAWS = [path for path in sorted(TESTS.rglob("*.py")) if "hypothesis" in path.read_text() and path != Path(__file__)]
PROFILE = TESTS / "conftest.py"


@given(st.none())
def law(_: None) -> None:
    """Hold for nothing in particular."""


def test_the_profile_is_loaded() -> None:
    """A law that says nothing of it has no deadline either."""
    of_a_law: settings = law._hypothesis_internal_use_settings  # type: ignore[attr-defined]
    for found in (settings(), settings(max_examples=5), of_a_law):
        assert found.deadline is None
        assert HealthCheck.too_slow in found.suppress_health_check


def test_every_law_is_looked_at() -> None:
    assert len(LAWS) > 15 and PROFILE in LAWS


@pytest.mark.parametrize("path", LAWS, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_only_the_profile_speaks_of_time(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    ours = [call for call in calls if ast.unparse(call.func).endswith(("settings", "load_profile", "register_profile"))]
    timed = [call for call in ours if {word.arg for word in call.keywords} & {"deadline", "suppress_health_check"}]
    loading = [call for call in ours if ast.unparse(call.func).endswith("_profile")]
    assert path == PROFILE or not timed + loading
