"""Draws the companion app's icon and logo, which the Supervisor shows: the integration's own, at its sizes.

Run from the repository's root: ``python -m scripts.simulation.app_brand``.
"""

from pathlib import Path

from .brand import LIGHT, icon, logo, run

FOLDER = Path("app")
ICON = 128
"""Side of the icon in pixels."""


def write(folder: Path) -> list[Path]:
    """Write both into a folder that exists, and return their paths."""
    paths = []
    for name, image in (("icon", icon(ICON, LIGHT)), ("logo", logo(1, LIGHT))):
        path = folder / f"{name}.png"
        image.save(path, optimize=True)
        paths.append(path)
    return paths


def main() -> None:
    """Run from the command line."""
    run("Draw the app's icon and logo.", FOLDER, write)


if __name__ == "__main__":
    main()
