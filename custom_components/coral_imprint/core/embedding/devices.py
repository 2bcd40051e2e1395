"""Edge TPUs on this machine, found without loading libedgetpu, which may end the process that loads it.

USB and PCIe ids: Coral's udev rules (libedgetpu, ``debian/udev``); the device options ``usb:0``, ``pci:0``: edgetpu_c.h.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
import os
from pathlib import Path
import sys
from typing import Final, Literal, TypeAlias

LIBRARY: Final = "libedgetpu.so.1"

Bus: TypeAlias = Literal["usb", "pci"]
Problem: TypeAlias = Literal["no_driver", "no_node", "no_access"]
"""``no_driver``: a PCIe card whose driver (gasket, apex) is not loaded; ``no_node``: the system has the device, this container does
not; ``no_access``: this user may not use it."""

_USB_IDS: Final = {
    ("1a6e", "089a"),  # before its first use, when it has no firmware yet
    ("18d1", "9302"),  # after it
}
_PCI_ID: Final = ("0x1ac1", "0x089a")
_ROOT: Final = Path("/")
_ELF: Final = b"\x7fELF"
_ELF_HEADER_BYTES: Final = 20
_FOLDERS: Final = ("lib", "usr/lib", "usr/local/lib", "lib64", "usr/lib64")


@dataclass(frozen=True, slots=True)
class EdgeTPU:
    """A device."""

    bus: Bus
    device: str
    """What libedgetpu calls it: ``usb:0``, ``pci:0``…"""
    node: str
    """Its file below /dev; "" where the driver is missing."""
    problem: Problem | None = None
    """Why it can't be used; None where it can."""
    speed: int | None = None
    """Of its USB port, in Mbit/s: at 480, pictures take longer on their way than in the device; None for PCIe."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What this machine has for Edge TPUs."""

    library: Path | None
    """The libedgetpu that a process started here would load; None where there is none for this kind of machine."""
    devices: tuple[EdgeTPU, ...]

    @property
    def usable(self) -> tuple[EdgeTPU, ...]:
        """The devices that a server started here could use."""
        return tuple(device for device in self.devices if device.problem is None) if self.library else ()


def survey(root: Path = _ROOT, environment: Mapping[str, str] | None = None) -> Survey:
    """Look for devices and for libedgetpu. Blocking: reads some dozens of small files.

    Args:
        root: what to take for the root of the file system.
        environment: of the process that would load libedgetpu; this one's without.

    """
    return Survey(find_library(root, environment), (*_usb(root), *_pci(root)))


def _text(path: Path) -> str:
    """Return what a file of sysfs holds; "" for one that is not there (any more)."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int:
    """Return a file's number; 0 where it holds none. USB 2.0 and 3.2 have whole speeds, USB 1's 1.5 is none of an Edge TPU's."""
    text = _text(path)
    return int(text) if text.isascii() and text.isdecimal() else 0


def _problem(node: Path) -> Problem | None:
    if not node.exists():
        return "no_node"
    return None if os.access(node, os.R_OK | os.W_OK) else "no_access"


def _usb(root: Path) -> Iterator[EdgeTPU]:
    """Find devices on USB, in the order of their buses and addresses."""
    found = [
        (_number(folder / "busnum"), _number(folder / "devnum"), folder)
        for folder in (root / "sys/bus/usb/devices").glob("*")
        if (_text(folder / "idVendor"), _text(folder / "idProduct")) in _USB_IDS
    ]
    for number, (bus, address, folder) in enumerate(sorted(found)):
        node = f"/dev/bus/usb/{bus:03}/{address:03}"
        speed = _number(folder / "speed") or None
        yield EdgeTPU("usb", f"usb:{number}", node, _problem(root / node[1:]), speed)


def _pci(root: Path) -> Iterator[EdgeTPU]:
    """Find devices on PCIe: the driver's files, then cards that the driver does not hold."""
    nodes = sorted((root / "dev").glob("apex_*"), key=lambda path: (len(path.name), path.name))
    number = 0
    for number, node in enumerate(nodes, 1):
        yield EdgeTPU("pci", f"pci:{number - 1}", f"/dev/{node.name}", _problem(node))
    cards = [folder for folder in (root / "sys/bus/pci/devices").glob("*") if _is_card(folder)]
    driven = len(list((root / "sys/class/apex").glob("apex_*")))
    for left in range(number, len(cards)):
        yield EdgeTPU("pci", f"pci:{left}", "", "no_node" if left < driven else "no_driver")


def _is_card(folder: Path) -> bool:
    return (_text(folder / "vendor"), _text(folder / "device")) == _PCI_ID


def find_library(root: Path = _ROOT, environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the path of the libedgetpu that the dynamic loader would take; None where there is none for this kind of machine.

    The loader's folders are looked through, nothing is loaded. Blocking.
    """
    wanted = _machine(Path(sys.executable))
    for folder in _library_folders(root, os.environ if environment is None else environment):
        library = folder / LIBRARY
        machine = _machine(library)
        if machine and machine == wanted:
            return library
    return None


def _machine(path: Path) -> tuple[int, bytes] | None:
    """Return an ELF file's word size and kind of processor; None for other files and none."""
    try:
        with path.open("rb") as file:
            header = file.read(_ELF_HEADER_BYTES)
    except OSError:
        return None
    if len(header) < _ELF_HEADER_BYTES or not header.startswith(_ELF):
        return None
    return header[4], header[18:20]


def _library_folders(root: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the loader's folders: the environment's, the configured ones, the system's own (``man ld.so``)."""
    for name in environment.get("LD_LIBRARY_PATH", "").split(":"):
        if name:
            yield root / name.lstrip("/")
    for file in sorted((root / "etc/ld.so.conf.d").glob("*.conf")):
        for line in _text(file).splitlines():
            if line.startswith("/"):
                yield root / line.strip().lstrip("/")
    for name in _FOLDERS:
        yield root / name
        yield from sorted((root / name).glob("*-linux-*"))
