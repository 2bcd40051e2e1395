"""No text that a person sees is missing from the translations, and none is there that nobody sees.

What a test run shows is held against the translations while it runs (``shown.py``); here the code is read, so that what no test
shows is found as well.
"""

import ast
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
import re
from typing import Any

from homeassistant.exceptions import HomeAssistantError
import pytest

from custom_components.coral_imprint.core import imprinting
from custom_components.coral_imprint.core.embedding import EmbeddingError, errors as embedding_errors
from custom_components.coral_imprint.core.imprinting import ImprintingError, errors as imprinting_errors

from .metadata import CORE_FILES, HOUSE, SHELL_FILES, argument, calls, constants, placeholders, read, texts, tree

MENDING = [path for path in SHELL_FILES if "RepairsFlow" in path.read_text()]
"""Files with dialogs that mend issues."""
FLOWS = [path for path in (HOUSE / "config_flow.py", *sorted((HOUSE / "flows").glob("*.py"))) if path not in MENDING]
SPOKEN = {"already_configured", "reconfigure_successful", "reauth_successful"}
"""Reasons that Home Assistant's own flow methods abort with, and that an integration has to put into words."""


def core_errors() -> dict[str, type[Exception]]:
    """Return the cores' errors that may reach the shell, by name."""
    found = chain(vars(embedding_errors).items(), vars(imprinting_errors).items())
    return {
        name: one for name, one in found if isinstance(one, type) and issubclass(one, EmbeddingError | ImprintingError)
    }


def key_of(error: type[Exception]) -> str:
    return str(getattr(error, "key", ""))


def module_of(path: Path) -> Any:
    name = ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix("__init__").rstrip(".")
    return import_module(f".{name}" if name else ".", "custom_components.coral_imprint")


def raised(path: Path) -> Iterator[tuple[ast.Call, type[Exception]]]:
    """Yield the errors that a file makes by calling their class."""
    module = module_of(path)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            made = getattr(module, node.func.id, None)
            if isinstance(made, type) and issubclass(made, Exception):
                yield node, made


def is_passed_on(call: ast.Call) -> bool:
    """Whether an error is made of another one's translation."""
    key = argument(call, "translation_key")
    return isinstance(key, ast.Attribute) and key.attr == "translation_key"


# --- errors --------------------------------------------------------------------------------------------------------


def test_errors_of_home_assistant_are_made_in_one_place() -> None:
    """Where nothing but ``translated`` makes them, none is without a translation; one may be passed on as another kind."""
    made = [
        f"{path.name}:{call.lineno} {error.__name__}"
        for path in SHELL_FILES
        for call, error in raised(path)
        if issubclass(error, HomeAssistantError) and not is_passed_on(call)
    ]
    assert made == []
    assert any(issubclass(error, Exception) for path in CORE_FILES for _, error in _raised_by_name(path))


def _raised_by_name(path: Path) -> Iterator[tuple[ast.Call, type[Exception]]]:
    """Yield the cores' errors that a file of any room makes."""
    known = core_errors()
    for name, error in known.items():
        yield from ((call, error) for call in calls(path, name))


def test_every_error_has_a_message_with_just_what_it_names() -> None:
    messages = texts()["exceptions"]
    seen = 0
    for path in SHELL_FILES:
        for call in calls(path, "translated"):
            key = argument(call, "key", 1)
            where = f"{path.name}:{call.lineno}"
            if not isinstance(key, ast.Constant):
                # The cores' errors, which bring their details along.
                assert key is not None and ast.unparse(key) == "err.key", where
                continue
            given = {keyword.arg for keyword in call.keywords}
            assert placeholders(messages[str(key.value)]["message"]) == given, f"{where}: {key.value!r}"
            seen += 1
    assert seen > 20


def test_every_error_of_the_cores_has_its_message() -> None:
    assert len(core_errors()) > 30
    for name, error in core_errors().items():
        assert "reason" in placeholders(texts()["exceptions"][key_of(error)]["message"]), name


def test_messages_of_the_cores_errors_name_what_the_errors_bring() -> None:
    """``reason`` always; the server's address and a file's name where every place that makes such an error gives them."""
    messages = texts()["exceptions"]
    for path in (*CORE_FILES, *SHELL_FILES):
        for call, error in _raised_by_name(path):
            needed = placeholders(messages[key_of(error)]["message"]) - {"reason"}
            given = {keyword.arg for keyword in call.keywords}
            # What is said of a server without naming it gets its name on the way out (``Endpoint._named``), a download its
            # file's (``_explained``).
            completed = {"server"} if "remote" in path.parts or "edgetpu" in path.parts else set()
            completed |= {"file"} if path.name in {"download.py", "downloads.py"} else set()
            assert needed <= given | completed, f"{path.name}:{call.lineno} {error.__name__} lacks {needed - given}"


def test_no_message_is_there_that_nothing_says() -> None:
    used = {key_of(error) for error in core_errors().values()}
    for path in SHELL_FILES:
        used |= {
            str(key.value)
            for call in calls(path, "translated")
            if isinstance(key := argument(call, "key", 1), ast.Constant)
        }
        if "HomeAssistantError" in path.read_text():
            used |= {key for key in constants(tree(path)) if path.name == "errors.py"}
    assert texts()["exceptions"].keys() - used == set()


# --- dialogs -------------------------------------------------------------------------------------------------------


def steps_of(*paths: Path) -> set[str]:
    """Return the steps that flows in these files have."""
    return {
        node.name.removeprefix("async_step_")
        for path in paths
        for node in ast.walk(tree(path))
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("async_step_")
    }


def literals(name: str, *shows: str, paths: list[Path]) -> set[str]:
    """Return the strings given for an argument of the methods that show something."""
    return set().union(*(constants(argument(call, name)) for path in paths for call in calls(path, *shows)))


def engine_flow() -> tuple[Any, list[Path]]:
    return texts()["config"], [path for path in FLOWS if path.name != "classifier.py"]


def classifier_flow() -> tuple[Any, list[Path]]:
    return texts()["config_subentries"]["classifier"], [HOUSE / "flows" / "classifier.py"]


@pytest.mark.parametrize("flow", [engine_flow, classifier_flow])
def test_every_step_reason_and_option_of_the_dialogs_is_translated(flow: Any) -> None:
    known, paths = flow()
    shown = literals("step_id", "async_show_form", "async_show_menu", paths=paths)
    for path in paths:
        for call in calls(path, "_form", "_async_form", "_async_model"):
            shown |= {one for one in constants(argument(call, "step_id", 0)) if argument(call, "step_id", 0)}
    assert shown and shown <= known["step"].keys()
    for path in paths:
        for call in calls(path, "async_show_menu"):
            step, options = constants(argument(call, "step_id")), constants(argument(call, "menu_options"))
            for one in step:
                assert options <= known["step"][one]["menu_options"].keys()
    assert literals("progress_action", "async_show_progress", paths=paths) <= known.get("progress", {}).keys()
    assert literals("reason", "async_abort", paths=paths) <= known["abort"].keys()


@pytest.mark.parametrize("flow", [engine_flow, classifier_flow])
def test_nothing_of_the_dialogs_is_translated_that_nobody_sees(flow: Any) -> None:
    known, paths = flow()
    said = set().union(*(constants(tree(path)) for path in paths))
    assert known["step"].keys() <= steps_of(*paths)
    for step in known["step"].values():
        assert step.get("menu_options", {}).keys() <= steps_of(*paths)
    assert known.get("progress", {}).keys() <= said
    from_errors = {key_of(error) for error in core_errors().values()} | texts()["exceptions"].keys()
    assert known["abort"].keys() <= said | SPOKEN | from_errors
    assert known["error"].keys() <= said | from_errors


NEVER_WHILE_AN_ENGINE_IS_MADE = {
    "invalid_pixels",  # test pictures are drawn in the network's size
    "invalid_region",  # they are embedded whole
    "not_a_picture",  # they are pictures
    "unknown_network_class",  # only actions ask for the network's own classes
    "wrong_labels",  # the same
}
AT_A_REGION = {"invalid_pixels", "invalid_region"}
LOOKING_AT_A_CAMERA = {
    *("embedding_failed", "invalid_pixels", "invalid_region", "not_a_picture", "runtime_unavailable"),
    *("camera_missing", "camera_no_image", "camera_unavailable"),
}


def test_every_error_that_a_dialog_may_meet_is_translated() -> None:
    of_embedding = {key_of(error) for error in core_errors().values() if issubclass(error, EmbeddingError)}
    assert of_embedding - texts()["config"]["error"].keys() == NEVER_WHILE_AN_ENGINE_IS_MADE
    of_servers = {key_of(error) for error in core_errors().values() if issubclass(error, embedding_errors.ServerError)}
    known = texts()["config_subentries"]["classifier"]["error"]
    of_labels = {key_of(imprinting.ClassExists), key_of(imprinting.InvalidLabel)}
    own = {"name_missing", "stay_above_enter"}
    assert known.keys() >= of_servers | of_labels | LOOKING_AT_A_CAMERA | own
    choosing = [
        one["fix_flow"] for one in texts()["issues"].values() if "camera" in one.get("fix_flow", {}).get("step", {})
    ]
    assert all(flow["error"].keys() >= of_servers | LOOKING_AT_A_CAMERA - AT_A_REGION for flow in choosing)


# --- issues, entities, selectors -----------------------------------------------------------------------------------


def test_every_issue_is_translated_and_no_other() -> None:
    tellers = [path for path in SHELL_FILES if any(calls(path, "async_create_issue"))]
    assert tellers
    said = set().union(*(constants(tree(path)) for path in tellers))
    assert texts()["issues"].keys() <= said
    given = set().union(
        *(
            constants(argument(call, "translation_key"))
            for path in tellers
            for call in calls(path, "async_create_issue")
        )
    )
    assert given <= texts()["issues"].keys()
    mended = set().union(*(constants(tree(path)) for path in MENDING)) | texts()["exceptions"].keys()
    for key, issue in texts()["issues"].items():
        flow = issue.get("fix_flow", {})
        assert flow.get("step", {}).keys() <= steps_of(*MENDING), key
        assert {*flow.get("error", {}), *flow.get("abort", {})} <= mended, key


PLATFORM_FILES = [HOUSE / f"{domain}.py" for domain in texts()["entity"]]


def test_no_name_of_an_entity_is_there_that_none_has() -> None:
    """Names are found by words of the platform's code, or of the options that both numbers and forms are made of."""
    for path in PLATFORM_FILES:
        words = constants(tree(path)) | constants(tree(HOUSE / "const.py"))
        assert texts()["entity"][path.stem].keys() <= words, path.stem
        assert read("icons.json")["entity"].get(path.stem, {}).keys() <= words, path.stem


def test_no_entity_has_a_name_in_the_code() -> None:
    for path in SHELL_FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if ast.unparse(target).endswith("_attr_name"):
                    assert not isinstance(node.value, ast.Constant) or node.value.value is None, (path, node.lineno)
            if isinstance(node, ast.Call) and "EntityDescription" in ast.unparse(node.func):
                assert not constants(argument(node, "name")), (path, node.lineno)


def test_no_option_is_translated_that_is_nowhere_offered() -> None:
    """Keys of options are words of the code, of whichever room, or fields of an action's selector."""
    said = set().union(*(constants(tree(path)) for path in (*SHELL_FILES, *CORE_FILES)))
    said |= set(re.findall(r"\w+", (HOUSE / "services.yaml").read_text()))
    for about, one in texts()["selector"].items():
        assert about in said, about
        assert one["options"].keys() <= said, about
