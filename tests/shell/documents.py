"""The documents as their tests read them: headings, anchors, pieces of code, sentences."""

from collections.abc import Collection, Iterator
from pathlib import Path
import re

from .metadata import HOUSE, ROOT

DOCS = ROOT / "docs"
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCUMENTS = [README, CONTRIBUTING, *sorted(DOCS.glob("*.md"))]
DEVELOPERS = ("architecture.md", "measurements.md", "scaling.md")
"""Pages that aren't about using the integration in a house."""
PAGES = [path for path in DOCUMENTS if path.parent == DOCS and path.name not in DEVELOPERS]
"""The users' pages, one subject each."""

LONGEST = 25
"""Words that a sentence may have."""
LEAST = 4
"""Words that a piece of text has at least to be counted as a sentence: fewer are a label or a table's value."""

_CODE_BLOCK = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_CODE = re.compile(r"`[^`]+`")
_ADDRESS = re.compile(r"https?://\S+")
_ITEM = re.compile(r"(?:[-*]|\d+\.) ")
_END = re.compile(r"(?<=[.!?])([*”\")\]]*)\s+(?=[*“\"(\[]*(?:[A-Z0-9]|CODE))")


def sections(text: str) -> dict[str, str]:
    """Return what stands under each heading, parts with headings of their own included."""
    found: dict[str, str] = {}
    lines = re.sub(r"```.*?```", lambda block: block.group().replace("\n#", "\n "), text, flags=re.DOTALL).split("\n")
    heads = [(index, len(line) - len(line.lstrip("#"))) for index, line in enumerate(lines) if re.match("#+ ", line)]
    for number, (index, level) in enumerate(heads):
        end = next((other for other, lower in heads[number + 1 :] if lower <= level), len(lines))
        found.setdefault(lines[index].lstrip("# "), "\n".join(lines[index + 1 : end]))
    return found


def headings(text: str) -> list[str]:
    """Return a document's headings in order, those that are there twice too."""
    return re.findall(r"^#+ (.*)$", _CODE_BLOCK.sub("", text), flags=re.MULTILINE)


def anchor(heading: str) -> str:
    """Return a heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def code_blocks(text: str, language: str) -> list[str]:
    """Return a document's pieces of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def without_code(text: str) -> str:
    """Return a document without its pieces of code, what is inline too."""
    return _CODE.sub("", _CODE_BLOCK.sub("", text))


def rows(text: str) -> list[list[str]]:
    """Return the cells of a text's tables, row by row, without the lines below their heads."""
    lines = [line.strip() for line in text.split("\n")]
    found = [line for line in lines if line.startswith("|") and not re.fullmatch(r"[|\-: ]+", line)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in found]


def said(text: str) -> str:
    """Return a text as it is compared: without emphasis, in lower case, on one line."""
    return re.sub(r"\s+", " ", text.replace("*", "").lower())


def sentences(text: str) -> Iterator[str]:
    """Yield a document's sentences: those of paragraphs, of each item of a list, of each cell of a table.

    Pieces of code, comments, headings, pictures and addresses are none. Inline code counts as one word, a link as its
    text. A semicolon or a colon ends no sentence.
    """
    for block in _prose(text):
        plain = _ADDRESS.sub("", _LINK.sub(r"\1", _CODE.sub("CODE", _IMAGE.sub("", block))))
        for sentence in _END.sub(r"\1\n", plain).split("\n"):
            if words(sentence) >= LEAST:
                yield sentence.strip()


def words(sentence: str) -> int:
    """Return how many words a sentence has: what is between spaces and has a letter or a digit."""
    return sum(1 for word in sentence.split() if re.search(r"\w", word))


def too_long(text: str) -> tuple[list[str], int]:
    """Return the sentences of a document that have too many words, and how many sentences it has."""
    every = list(sentences(text))
    return [sentence for sentence in every if words(sentence) > LONGEST], len(every)


def _prose(text: str) -> Iterator[str]:
    """Yield paragraphs, items of lists and cells of tables, each on one line."""
    block: list[str] = []
    for line in [*_COMMENT.sub("", _CODE_BLOCK.sub("\n", text)).split("\n"), ""]:
        stripped = line.strip()
        begins = _ITEM.match(stripped)
        if block and (not stripped or begins or stripped.startswith(("|", "#"))):
            yield " ".join(block)
            block = []
        if stripped.startswith("|"):
            for row in rows(stripped):
                yield from row
        elif stripped and not stripped.startswith("#"):
            block.append(stripped[begins.end() :] if begins else stripped)


def paths_of(document: Path, rooms: Collection[str]) -> set[str]:
    """Return what a document's inline code names of this repository: files with Python in them, and what has a slash.

    In the section of a room, a file's name is one in this room. ``custom_components/coral_imprint`` is no room: its files are
    named as they are.
    """
    found: set[str] = set()
    room = ""
    for line in _CODE_BLOCK.sub("", document.read_text()).split("\n"):
        if line.startswith("#"):
            heading = line.lstrip("# ")
            room = f"{heading}/" if heading in rooms and (HOUSE / heading).is_dir() else ""
        for code in re.findall(r"`([\w./-]+)`", line):
            if "/" in code and not code.startswith((".", "/")):
                found.add(code)
            elif code.endswith(".py"):
                found.add(room + code)
    return found
