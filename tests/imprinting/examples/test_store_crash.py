"""The example store against kills, full disks and read-only disks, at every step it takes on the disk."""

from collections.abc import Callable, Iterator
from dataclasses import replace
import hashlib
import os
from pathlib import Path
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from imprinting import ExampleStore, StoreFailed
from tests.imprinting.fakes import (
    FULL,
    READ_ONLY,
    START,
    Fault,
    Killed,
    jpeg,
    loaded,
    new_store,
    pictures_under,
    png,
    snapshot,
)

CORE = Path(__file__).parents[3] / "custom_components" / "coral_imprint" / "core"

Operation = Callable[[ExampleStore], object]


def _class_id(store: ExampleStore, label: str) -> str:
    return store.class_named(label).id


def _first(store: ExampleStore) -> str:
    return store.examples(_class_id(store, "open"))[0].id


OPERATIONS: dict[str, Operation] = {
    "add_example": lambda store: store.add_example(_class_id(store, "open"), jpeg("new")),
    "add_converted_example": lambda store: store.add_example(_class_id(store, "open"), png("new")),
    "add_class": lambda store: store.add_class("ajar"),
    "rename_class": lambda store: store.rename_class(_class_id(store, "open"), "wide open"),
    "rename_class_in_case": lambda store: store.rename_class(_class_id(store, "open"), "OPEN"),
    "set_background": lambda store: store.set_background(_class_id(store, "open"), True),
    "remove_class": lambda store: store.remove_class(_class_id(store, "open")),
    "remove_example": lambda store: store.remove_example(_first(store)),
    "relabel_example": lambda store: store.relabel_example(store.examples()[0].id, _class_id(store, "closed")),
    "undo_remove_example": lambda store: store.undo(),
    "set_aside": lambda store: store.set_aside(_first(store)),
    "purge": lambda store: store.purge(START.replace(year=2027)),
}
DURABLE = sorted(OPERATIONS.keys() - {"purge"})


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """Return a classifier's folder with two classes, four examples and something in the bin."""
    root = tmp_path / "template"
    store = loaded(root)
    opened, closed = store.add_class("open"), store.add_class("closed", background=True)
    for number in range(3):
        store.add_example(opened.id, jpeg(f"open {number}"))
    store.add_example(closed.id, jpeg("closed"))
    store.remove_example(store.add_example(closed.id, jpeg("in the bin")).id)
    return root


@pytest.fixture
def untidy(template: Path) -> Path:
    """Return the template after crashes and a user's handiwork."""
    (template / "open" / "IMG 1.JPG").write_bytes(jpeg("upper case"))
    (template / "open" / "photo.jpg").write_bytes(jpeg("plain"))
    (template / "open" / "photo.png").write_bytes(png("converted"))
    (template / "open" / "wrong suffix.jpg").write_bytes(png("wrong suffix"))
    (template / "open" / "broken.jpg").write_bytes(b"no picture")
    (template / "open" / ".tmp-half.jpg").write_bytes(b"half")
    (template / "closed").rename(template / "something else")
    (template / "car").mkdir()
    (template / "car" / "photo.jpg").write_bytes(jpeg("car"))
    return template


def _copies(template: Path) -> Iterator[tuple[Path, int]]:
    """Yield copies of a folder, and how many steps a fault there is to let pass."""
    for passes in range(1000):
        root = template.with_name(f"run-{passes}") / template.name
        shutil.copytree(template, root)
        yield root, passes
        shutil.rmtree(root)


def _run(
    operation: Operation, store: ExampleStore, passes: int, refusal: int | None = None, once: bool = False
) -> Fault:
    """Run an operation with a fault after some steps."""
    with pytest.MonkeyPatch.context() as patch:
        fault = Fault(patch, passes, refusal, once)
        try:
            operation(store)
        except Killed:
            assert refusal is None
        except StoreFailed as err:
            refused = str(err)
            assert refusal is not None
            assert "private" not in refused
            assert str(store.root) not in refused
        else:
            assert refusal is not None or not fault.struck
    return fault


@pytest.mark.parametrize("name", OPERATIONS)
def test_kill_at_every_step_leaves_old_or_new(template: Path, name: str) -> None:
    """After a kill anywhere, loading finds the old or the new state, nothing is lost and trying again works."""
    operation = OPERATIONS[name]
    old, ids = snapshot(loaded(template)), set(loaded(template).classes)
    done = template.with_name("done")
    shutil.copytree(template, done)
    operation(loaded(done))
    new = snapshot(loaded(done))
    kept = pictures_under(done) if name == "purge" else pictures_under(template)
    seen = []
    for root, passes in _copies(template):
        fault = _run(operation, loaded(root), passes)
        after = loaded(root)
        found = snapshot(after)
        assert found in (old, new)
        assert kept <= pictures_under(root)
        assert not list(root.rglob(".tmp-*.jpg"))
        assert len(ids - set(after.classes)) <= len(old) - len(found) or name == "add_class"
        seen.append(found == new)
        if found == old:
            operation(after)
        assert snapshot(after) == new == snapshot(loaded(root))
        if not fault.struck:
            break
    assert len(seen) > 2
    assert seen == sorted(seen), "once the new state was there, it stays"


def test_kill_at_every_step_of_adoption(untidy: Path) -> None:
    """A load that was cut off anywhere is finished by the next one, to the same end."""
    done = untidy.with_name("done")
    shutil.copytree(untidy, done)
    report = new_store(done).load()
    assert (report.adopted, report.unreadable, report.failed) == (5, 1, 0)
    wanted = snapshot(loaded(done))
    assert sorted(wanted) == ["car", "closed", "open"]
    assert set(wanted["open"][1].values()) >= {jpeg(text) for text in ("upper case", "plain", "converted")}
    pictures = {digest for digest in pictures_under(untidy) if digest != hashlib.sha256(b"half").hexdigest()}
    for root, passes in _copies(untidy):
        fault = _run(lambda store: store.load(), new_store(root), passes)
        assert snapshot(loaded(root)) == wanted
        assert pictures <= pictures_under(root)
        assert new_store(root).load() == replace(report, adopted=0, unreadable=0, repaired=0)
        if not fault.struck:
            assert fault.steps > 40
            break


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("refusal", [FULL, READ_ONLY])
@pytest.mark.parametrize("name", DURABLE)
def test_refusing_disk_loses_nothing(template: Path, name: str, refusal: int, once: bool) -> None:
    """A disk that refuses any step makes a named error, memory stays as good as before and trying again works."""
    operation = OPERATIONS[name]
    done = template.with_name("done")
    shutil.copytree(template, done)
    operation(loaded(done))
    old, new = snapshot(loaded(template)), snapshot(loaded(done))
    kept = pictures_under(template)
    for root, passes in _copies(template):
        store = loaded(root)
        fault = _run(operation, store, passes, refusal, once)
        assert kept <= pictures_under(root)
        if name in {"rename_class", "rename_class_in_case", "set_background"}:
            # The change may be on disk already; a copy shows it without a second owner's hands on the folder.
            shutil.copytree(root, root.with_name("copy"))
            assert snapshot(loaded(root.with_name("copy"))) in (old, new)
            shutil.rmtree(root.with_name("copy"))
            if snapshot(store) == old:
                operation(store)
        elif len(store.classes) + len(store.examples()) == len(old) + sum(
            len(examples) for _, examples in old.values()
        ):
            operation(store)
        remembered = _contents(store)
        assert remembered == _contents(loaded(done)) == _contents(loaded(root))
        if not fault.struck:
            break


def _contents(store: ExampleStore) -> dict[str, set[bytes]]:
    """Return the pictures by class, without their number: of one that is not acknowledged, two copies may be left."""
    return {label: set(examples.values()) for label, (_, examples) in snapshot(store).items()}


def test_refusing_disk_is_not_fatal_for_loading(untidy: Path) -> None:
    """What can't be put right now stays, is reported, and is put right by the next load."""
    done = untidy.with_name("done")
    shutil.copytree(untidy, done)
    wanted = snapshot(loaded(done))
    for root, passes in _copies(untidy):
        store = new_store(root)
        fault = _run(lambda store: store.load(), store, passes, READ_ONLY)
        assert len(store.class_named("open").label) == 4
        assert len([one for one in store.examples() if one.path.stem.startswith("2026")]) == 4
        assert all(store.read(one) for one in store.examples())
        assert snapshot(loaded(root)) == wanted
        if not fault.struck:
            break


CHILD = """
import hashlib, itertools, sys
from pathlib import Path
from imprinting import ExampleStore
store = ExampleStore(Path(sys.argv[1]), bytes, ValueError)
store.load()
learned = store.class_named("open") if store.classes else store.add_class("open")
for number in itertools.count():
    picture = f"{sys.argv[2]} {number} ".encode() * 5000
    example = store.add_example(learned.id, picture)
    print(example.id, hashlib.sha256(picture).hexdigest(), flush=True)
"""


def test_killed_process_loses_no_acknowledged_example(tmp_path: Path) -> None:
    """A process killed again and again while it files examples leaves each one that it acknowledged."""
    root = tmp_path / "classifier"
    acknowledged: dict[str, str] = {}
    chance = random.Random(1)
    for round_number in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(root), str(round_number)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(CORE)},
        )
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(chance.randint(1, 12))]
        time.sleep(chance.random() * 0.005)
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)
        child.wait()
        # The last line may have been cut off.
        for line in lines:
            if line.endswith("\n"):
                example_id, digest = line.split()
                acknowledged[example_id] = digest
    store = ExampleStore(root, bytes, ValueError)
    assert store.load().unreadable == 0
    found = {one.id: hashlib.sha256(store.read(one)).hexdigest() for one in store.examples()}
    assert len(acknowledged) >= 5
    assert acknowledged.items() <= found.items()
    assert len(found) <= len(acknowledged) + 5
