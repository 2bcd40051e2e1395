"""The catalogue of extractors: what its entries say, and that no other file passes for a published one."""

from dataclasses import replace
import hashlib
import logging
from pathlib import Path
import re

import pytest

from embedding.errors import ModelError, UnsupportedModel, WrongContent
from embedding.export.columns import class_columns, read_labels
from embedding.network.model import read_model
from embedding.published.catalogue import CATALOGUE, DEFAULT, Extractor, PublishedFile, by_content, find

MODELS = Path(__file__).resolve().parents[4] / "shared" / "models"
FILES = [file for entry in CATALOGUE.values() for file in (entry.file, entry.edgetpu) if file is not None]
KNOWN = [file for file in FILES if file.size is not None]

needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason="needs the models in ../shared/models")

# As `git hash-object` gives them.
HELLO, HELLO_BLOB = b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"
EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
HELLO_FILE = PublishedFile(
    name="hello.tflite",
    url="http://localhost/hello.tflite",
    size=len(HELLO),
    sha256=hashlib.sha256(HELLO).hexdigest(),
    blob=HELLO_BLOB,
)
BLOB_ONLY = replace(HELLO_FILE, size=None, sha256=None)


def stored(folder: Path, content: bytes = HELLO) -> Path:
    """Put a file where the published one is looked for."""
    folder.mkdir(exist_ok=True)
    path = folder / HELLO_FILE.name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)
def test_entry(entry: Extractor) -> None:
    assert CATALOGUE[entry.key] is entry
    assert re.fullmatch(r"[a-z0-9_.]+", entry.key)
    assert entry.title
    assert entry.licence == "Apache-2.0"
    assert entry.input_size is None or [type(side) for side in entry.input_size] == [int, int]
    assert entry.length is None or type(entry.length) is int
    assert entry.ms.keys() in ({"portable", "litert"}, set())
    assert all(0 < ms < 1000 for ms in entry.ms.values())
    assert entry.fixed_camera in {"good", "better", None}
    assert entry.kinds in {"fair", "good", "best", None}
    # What was measured was measured in every respect.
    assert bool(entry.ms) == (entry.fixed_camera is not None) == (entry.kinds is not None) == (entry.length is not None)
    if entry.edgetpu:
        assert entry.edgetpu.name == f"{Path(entry.file.name).stem}_edgetpu.tflite"
    hash(entry)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_file(file: PublishedFile) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.tflite", file.name)
    assert re.fullmatch(
        r"https://raw\.githubusercontent\.com/[\w-]+/[\w-]+/[0-9a-f]{40}/" + re.escape(file.name), file.url
    )
    assert re.fullmatch(r"[0-9a-f]{40}", file.blob)
    assert (file.size is None) == (file.sha256 is None)
    if file.size is not None and file.sha256 is not None:
        assert type(file.size) is int and 100_000 < file.size < 64 * 1024 * 1024
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)


def test_nothing_is_listed_twice() -> None:
    assert len(CATALOGUE) >= 7
    assert DEFAULT in CATALOGUE
    for values in (
        [file.name.lower() for file in FILES],
        [file.blob for file in FILES],
        [file.sha256 for file in KNOWN],
        [entry.title for entry in CATALOGUE.values()],
    ):
        assert len(values) == len(set(values))
    assert len({file.url.rsplit("/", 1)[0] for file in FILES}) == 1, "one commit"


def test_catalogue_is_read_only() -> None:
    with pytest.raises(TypeError):
        CATALOGUE["mine"] = CATALOGUE[DEFAULT]  # type: ignore[index]
    with pytest.raises(TypeError):
        CATALOGUE[DEFAULT].ms["portable"] = 0  # type: ignore[index]


def test_by_content() -> None:
    default = CATALOGUE[DEFAULT]
    assert default.file.sha256
    assert by_content(default.file.sha256.upper()) is default
    assert {by_content(file.sha256) for file in KNOWN if file.sha256} == {e for e in CATALOGUE.values() if e.length}
    assert by_content("0" * 64) is None


@needs_models
@pytest.mark.parametrize("file", KNOWN, ids=lambda file: file.name)
def test_real_file_passes_and_no_other_does(file: PublishedFile, tmp_path: Path) -> None:
    (MODELS / file.name).stat()
    assert find(file, [tmp_path, MODELS]) == MODELS / file.name
    data = bytearray((MODELS / file.name).read_bytes())
    copy = tmp_path / file.name
    for offset in (0, len(data) // 2, len(data) - 1):
        data[offset] ^= 1
        copy.write_bytes(data)
        with pytest.raises(WrongContent, match="SHA-256"):
            file.verify(copy)
        with pytest.raises(WrongContent, match="blob"):
            replace(file, sha256=None).verify(copy)
        data[offset] ^= 1
    copy.write_bytes(data)
    file.verify(copy)


@needs_models
@pytest.mark.parametrize(
    "entry", [entry for entry in CATALOGUE.values() if entry.length], ids=lambda entry: str(entry.key)
)
def test_real_file_is_what_the_entry_says(entry: Extractor) -> None:
    model = read_model((MODELS / entry.file.name).read_bytes())
    assert (model.input_size, model.length) == (entry.input_size, entry.length)
    if entry.edgetpu:
        # A compiled network is one operator of the Edge TPU's.
        with pytest.raises(UnsupportedModel, match="Edge TPU"):
            read_model((MODELS / entry.edgetpu.name).read_bytes())


@pytest.mark.parametrize(
    "file", [HELLO_FILE, BLOB_ONLY, replace(HELLO_FILE, sha256=None), replace(HELLO_FILE, size=None)]
)
def test_verify(file: PublishedFile, tmp_path: Path) -> None:
    """However much is known of a file: only the very same bytes pass."""
    file.verify(stored(tmp_path))
    for other in (b"", b"hello", b"hello\n\n", b"hellO\n"):
        with pytest.raises(WrongContent, match=r"hello\.tflite is not the published file") as caught:
            file.verify(stored(tmp_path, other))
        assert caught.value.details["file"] == "hello.tflite"


def test_each_property_counts(tmp_path: Path) -> None:
    path = stored(tmp_path)
    for wrong, why in (
        (replace(HELLO_FILE, size=7), "6 bytes instead of 7"),
        (replace(HELLO_FILE, sha256="0" * 64), "SHA-256"),
        (replace(HELLO_FILE, blob=EMPTY_BLOB), "blob"),
    ):
        with pytest.raises(WrongContent, match=why):
            wrong.verify(path)
    replace(BLOB_ONLY, blob=EMPTY_BLOB).verify(stored(tmp_path, b""))


def test_file_larger_than_a_piece(tmp_path: Path) -> None:
    content = bytes(range(256)) * 3000
    blob = hashlib.sha1(b"blob 768000\0" + content).hexdigest()
    sha256 = hashlib.sha256(content).hexdigest()
    replace(HELLO_FILE, size=768000, sha256=sha256, blob=blob).verify(stored(tmp_path, content))


def test_unreadable_file(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ModelError) as caught:
            HELLO_FILE.verify(path)
        assert str(tmp_path) not in caught.value.details["reason"]


def test_find_takes_the_first_right_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    assert find(HELLO_FILE, [first, second]) is None
    stored(second)
    stored(third)
    with caplog.at_level(logging.WARNING):
        assert find(HELLO_FILE, [first, second, third]) == second / HELLO_FILE.name
        assert not caplog.records
        stored(first, b"other\n")
        assert find(HELLO_FILE, [first, second]) == second / HELLO_FILE.name
    (record,) = caplog.records
    assert str(first) in record.getMessage()
    assert find(HELLO_FILE, [first]) is None
    assert (first / HELLO_FILE.name).exists(), "what is not ours is left alone"


def test_find_passes_over_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / HELLO_FILE.name).mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / HELLO_FILE.name).symlink_to(tmp_path / "nowhere")
    assert find(HELLO_FILE, [tmp_path, tmp_path / "links"]) is None


LISTS = {entry.labels for entry in CATALOGUE.values() if entry.labels}


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_lists_of_labels(file: PublishedFile) -> None:
    """They lie at the same commit, are small, and are told from any other file."""
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.txt", file.name)
    assert file.url == FILES[0].url.removesuffix(FILES[0].name) + file.name
    assert file.size is not None and 1000 < file.size < 1 << 20
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "") and re.fullmatch(r"[0-9a-f]{40}", file.blob)


@needs_models
def test_classifiers_and_nothing_else_have_labels() -> None:
    """A list fits the network's last layer; extractors that were cut have none."""
    for entry in CATALOGUE.values():
        if entry.length is None:
            assert entry.labels is None
            continue
        data = (MODELS / entry.file.name).read_bytes()
        if entry.labels is None:
            with pytest.raises(UnsupportedModel):
                class_columns(data)
            continue
        path = find(entry.labels, [MODELS])
        assert path and len(read_labels(path.read_text("utf-8"), len(class_columns(data).vectors))) == 1001
