"""What Home Assistant's log says of exceptions that nobody handled."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
import re

_HEAD = re.compile(r"^\d{4}-\d\d-\d\d [\d:.+]+ (\w+) \(([^)]*)\) \[([^\]]*)\] ", re.MULTILINE)
_OURS = "coral_imprint"
_UNHANDLED = (
    "was never retrieved",
    "was never awaited",
    "Error doing job",
    "Exception in callback",
    "Unexpected exception",
    "Unexpected error fetching",
    "Fatal Python error",
    "Detected blocking call",
    "Detected that custom integration",
    "Unclosed",
    "lingering",
)
"""What Home Assistant, asyncio and Python say of errors that no code expected, and of work left behind."""


@dataclass(frozen=True)
class Record:
    """One entry of the log."""

    level: str
    logger: str
    text: str
    """The whole entry, with a traceback where it has one."""

    @property
    def is_unhandled(self) -> bool:
        """Whether it tells of an error in the integration that nobody handled."""
        if _OURS not in self.text and not self.logger.startswith(f"custom_components.{_OURS}"):
            return False
        return "Traceback (most recent call last)" in self.text or any(phrase in self.text for phrase in _UNHANDLED)

    @property
    def is_foreign(self) -> bool:
        """Whether it tells of such an error that has nothing to do with the integration."""
        return _OURS not in self.text and "Traceback (most recent call last)" in self.text


def records(text: str) -> Iterator[Record]:
    """Yield the entries of a log."""
    heads = list(_HEAD.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    for head, end in zip(heads, ends, strict=False):
        yield Record(head[1], head[3], text[head.start() : end].strip())


def unhandled(text: str) -> list[str]:
    """Return each entry of a log that tells of an unhandled error in the integration."""
    found = [record.text for record in records(text) if record.is_unhandled]
    # What a crashing interpreter prints has no head.
    return found + [line for line in text.splitlines() if line.startswith("Fatal Python error")]


def summary(text: str) -> dict[str, dict[str, int]]:
    """Count warnings and errors by logger, and tracebacks of others."""
    counted: dict[str, Counter[str]] = {"WARNING": Counter(), "ERROR": Counter(), "foreign tracebacks": Counter()}
    for record in records(text):
        if record.level in counted:
            counted[record.level][record.logger] += 1
        if record.is_foreign:
            counted["foreign tracebacks"][record.logger] += 1
    return {level: dict(counts.most_common()) for level, counts in counted.items()}
