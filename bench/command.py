"""What the commands of this folder have in common."""

import argparse
from collections.abc import Callable
import json
from pathlib import Path
import sys

from embedding import EmbeddingError


def existing_folder(text: str) -> Path:
    """Return the folder that an argument names. Raises ArgumentTypeError where there is none."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path


def print_report(made: Callable[[], object], indent: int | None = 2) -> int:
    """Print what is made as JSON; return the command's status, 1 where an extractor or its labels can't be used."""
    try:
        report = made()
    except EmbeddingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=indent))
    return 0
