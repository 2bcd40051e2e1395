"""Fetches what the image is built with: Google's models, by the catalogue, and the Edge TPU's software. Not used by the app itself.

python -m companion.fetch models FOLDER
python -m companion.fetch packages FILE ARCHITECTURE FOLDER [--allow-unpinned]
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
import hashlib
import json
import logging
from pathlib import Path
import sys
from typing import Any, Final
import urllib.error
import urllib.request

from embedding.errors import EmbeddingError
from embedding.published.catalogue import CATALOGUE, PublishedFile

_LOGGER = logging.getLogger(__name__)

_TIMEOUT: Final = 60
_LARGEST: Final = 256 * 1024 * 1024

Get = Callable[[str], bytes]


class FetchError(Exception):
    """Something can't be fetched, or is not what it should be."""


def get(url: str) -> bytes:
    """Return what lies at an address. Raises FetchError."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - addresses from the project's own files
            content: bytes = answer.read(_LARGEST + 1)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise FetchError(f"{url}: {error}") from error
    if len(content) > _LARGEST:
        raise FetchError(f"{url} is larger than {_LARGEST >> 20} MiB")
    return content


def published() -> list[PublishedFile]:
    """Return the catalogue's files, those for the CPU and those for the Edge TPU."""
    return [
        file for entry in CATALOGUE.values() for file in (entry.file, entry.edgetpu) if file is not None and file.url
    ]


def fetch_models(files: Iterable[PublishedFile], folder: Path, get: Get = get) -> None:
    """Put published files into a folder, each verified. Raises FetchError."""
    for file in files:
        path = folder / file.name
        path.write_bytes(get(file.url))
        try:
            file.verify(path)
        except EmbeddingError as error:
            path.unlink()
            raise FetchError(str(error)) from error
        _LOGGER.info("%s: %d bytes", file.name, path.stat().st_size)


def fetch_packages(rows: Any, architecture: str, folder: Path, *, allow_unpinned: bool, get: Get = get) -> None:
    """Put the packages of an architecture into a folder.

    Args:
        rows: of ``packages.json``: ``url`` and ``sha256`` by architecture; a SHA-256 that is null is not known yet.
        architecture: ``amd64`` or ``arm64``.
        folder: where to.
        allow_unpinned: take packages of unknown SHA-256 too; what theirs is, is logged.
        get: what fetches.

    Raises FetchError: for what can't be had, is something else, or is not pinned.

    """
    for row in rows:
        file = row["files"][architecture]
        content = get(file["url"])
        sha256 = hashlib.sha256(content).hexdigest()
        if file["sha256"] is None:
            _LOGGER.warning("%s is not pinned; its SHA-256 is %s", file["url"], sha256)
            if not allow_unpinned:
                raise FetchError(f"{row['name']}: its SHA-256 has to be noted in packages.json first (here: {sha256})")
        elif sha256 != file["sha256"]:
            raise FetchError(f"{row['name']}: its SHA-256 is {sha256} instead of {file['sha256']}")
        (folder / file["url"].rpartition("/")[2]).write_bytes(content)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    models = kinds.add_parser("models")
    packages = kinds.add_parser("packages")
    packages.add_argument("file", type=Path)
    packages.add_argument("architecture", choices=("amd64", "arm64"))
    packages.add_argument("--allow-unpinned", action="store_true")
    for kind in (models, packages):
        kind.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        if options.kind == "models":
            fetch_models(published(), options.folder)
        else:
            rows = json.loads(options.file.read_bytes())["packages"]
            fetch_packages(rows, options.architecture, options.folder, allow_unpinned=options.allow_unpinned)
    except FetchError as error:
        _LOGGER.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
