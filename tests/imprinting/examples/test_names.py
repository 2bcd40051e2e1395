"""What classes, folders and examples may be called."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

from hypothesis import given, strategies as st
import pytest

from imprinting import ClassExists, InvalidLabel
from imprinting.examples import names

TEXT = st.text(max_size=100)


@pytest.mark.parametrize(
    "label",
    ["", "  ", "\t\n", "x" * 65, "unknown", "Unavailable", "NONE", " none ", "a\nb", "a\0b", "a\u2028b", "\ud800"],
)
def test_invalid_labels_are_refused(label: str) -> None:
    """Empty, long, reserved, or with control characters."""
    with pytest.raises(InvalidLabel) as caught:
        names.check_label(label)
    assert caught.value.key == "invalid_label"


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        (" Gate open ", "Gate open"),
        ("Tür auf", "Tür auf"),
        ("Tu\u0308r", "Tür"),
        ("門/開", "門/開"),
        ("x" * 64, "x" * 64),
    ],
)
def test_labels_are_kept_in_one_form(label: str, kept: str) -> None:
    """Composed, without spaces around."""
    assert names.check_label(label) == kept


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("Gate open", "Gate open"),
        ("Tür 2", "Tür 2"),
        ("門 開", "門 開"),
        ('a/b\\c:d*e?f"g<h>i|j', "abcdefghij"),
        ("../../etc", "etc"),
        ("...", "class"),
        ("_hidden", "hidden"),
        (".hidden", "hidden"),
        ("dots...", "dots"),
        ("門" * 64, "門" * 26),
    ],
)
def test_folder_names(label: str, folder: str) -> None:
    """Letters of any script, digits and spaces stay; what a file system can't take goes."""
    assert names.folder_name(label) == folder


@given(TEXT, st.integers(1, 999))
def test_folder_names_are_always_safe(label: str, number: int) -> None:
    """Whatever the label: one plain, visible, short folder name that is recognised as the label's."""
    folder = names.folder_name(label, number)
    assert 0 < len(folder.encode()) <= names.FOLDER_BYTES
    assert not set(folder) & set('/\\:*?"<>|\0')
    assert names.is_visible(folder)
    assert folder == folder.strip()
    assert not folder.endswith(".")
    assert names.folder_fits(folder, label)
    assert not names.folder_fits(folder + "x", label)


@given(TEXT, st.integers(0, 5))
def test_folders_get_valid_free_labels(folder: str, taken: int) -> None:
    """Whatever the user called a folder."""
    labels: list[str] = []
    for _ in range(taken + 1):
        label = names.label_from_folder(folder, lambda label: label in labels)
        assert names.check_label(label) == label
        assert label not in labels
        labels.append(label)


def test_label_from_folder() -> None:
    """A good name stays as it is; a reserved or taken one gets a number."""
    assert names.label_from_folder("Gate open", lambda _: False) == "Gate open"
    assert names.label_from_folder("unknown", lambda _: False) == "unknown 2"
    assert names.label_from_folder("car", lambda label: label in {"car", "car 2"}) == "car 3"


@given(st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1)), st.integers(-12, 12), st.binary())
def test_example_ids_tell_their_moment(moment: datetime, offset: int, content: bytes) -> None:
    """To the millisecond, in UTC, whatever zone the clock is in."""
    when = moment.replace(tzinfo=timezone(timedelta(hours=offset)))
    first, second = islice(names.example_ids(when, content), 2)
    assert second == f"{first}-2"
    for example_id in (first, second):
        assert names.is_example_id(example_id)
        told = names.moment(example_id)
        assert told is not None
        assert timedelta(0) <= when - told < timedelta(milliseconds=1)


def test_example_id_is_as_documented() -> None:
    """The moment, then six digits of the content's SHA-256."""
    when = datetime(2026, 11, 20, 18, 30, 12, 345999, UTC)
    assert next(names.example_ids(when, b"abc")) == "20261120T183012345Z-ba7816"


@pytest.mark.parametrize(
    "text", ["", "IMG_1", "20261120T183012345Z", "20261120T183012345Z-ba781", "x20261120T183012345Z-ba7816"]
)
def test_other_names_are_no_example_ids(text: str) -> None:
    """Close is not enough."""
    assert not names.is_example_id(text)


def test_impossible_moments_are_none() -> None:
    """A stamp with a thirteenth month is no stamp."""
    assert names.moment("20261320T183012345Z-ba7816") is None


@given(TEXT)
def test_adopted_ids_are_safe(stem: str) -> None:
    """Whatever the user called a picture."""
    for example_id in islice(names.adopted_ids(stem), 3):
        assert names.is_visible(example_id)
        assert not set(example_id) & set("/\\\0\n")
        assert 0 < len(example_id.encode()) < 200


def test_labels_side_by_side() -> None:
    assert names.check_labels([" open ", "closed"]) == ["open", "closed"]
    with pytest.raises(ClassExists):
        names.check_labels(["open", "closed", "OPEN"])
    with pytest.raises(InvalidLabel):
        names.check_labels(["open", ""])
