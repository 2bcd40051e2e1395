"""Finding Edge TPUs, in trees that look like /sys, /dev and the loader's folders."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from embedding.devices import LIBRARY, EdgeTPU, find_library, survey

OWN_HEADER = Path(sys.executable).read_bytes()[:20]
NOWHERE: dict[str, str] = {}


class Machine:
    """A tree."""

    def __init__(self, root: Path) -> None:
        """Begin with nothing."""
        self.root = root

    def write(self, path: str, content: str | bytes = "") -> Path:
        """Write a file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    def usb(self, port: str, vendor: str, product: str, bus: int, address: int, *, node: bool = True) -> None:
        """Plug something in."""
        values = {"idVendor": vendor, "idProduct": product, "busnum": bus, "devnum": address, "speed": 5000}
        for name, value in values.items():
            self.write(f"sys/bus/usb/devices/{port}/{name}", f"{value}\n")
        if node:
            self.write(f"dev/bus/usb/{bus:03}/{address:03}")

    def card(self, slot: str, vendor: str = "0x1ac1", device: str = "0x089a") -> None:
        """Put a PCIe card in."""
        self.write(f"sys/bus/pci/devices/{slot}/vendor", f"{vendor}\n")
        self.write(f"sys/bus/pci/devices/{slot}/device", f"{device}\n")

    def driver(self, number: int, *, node: bool = True) -> None:
        """Let the driver hold a card."""
        self.write(f"sys/class/apex/apex_{number}/status", "ALIVE")
        if node:
            self.write(f"dev/apex_{number}")

    def library(self, folder: str, header: bytes = OWN_HEADER) -> Path:
        """Install libedgetpu."""
        return self.write(f"{folder}/{LIBRARY}", header)

    def devices(self) -> tuple[EdgeTPU, ...]:
        """Look."""
        return survey(self.root, NOWHERE).devices


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing(machine: Machine) -> None:
    """A machine without anything, not even /sys."""
    found = survey(machine.root, NOWHERE)
    assert (found.library, found.devices, found.usable) == (None, (), ())


def test_usb(machine: Machine) -> None:
    """Before and after its first use; other devices, hubs and interfaces of the same tree are left alone."""
    machine.usb("2-1", "18d1", "9302", 2, 4)
    machine.usb("1-1.3", "1a6e", "089a", 1, 12)
    machine.usb("1-2", "18d1", "4ee7", 1, 3)
    machine.write("sys/bus/usb/devices/1-1.3:1.0/bInterfaceNumber", "00")
    assert machine.devices() == (
        EdgeTPU("usb", "usb:0", "/dev/bus/usb/001/012", None, 5000),
        EdgeTPU("usb", "usb:1", "/dev/bus/usb/002/004", None, 5000),
    )


def test_usb_out_of_the_container(machine: Machine) -> None:
    """Sysfs shows every device of the system, /dev those of the container."""
    machine.usb("2-1", "1a6e", "089a", 2, 4, node=False)
    machine.library("usr/lib")
    assert machine.devices()[0].problem == "no_node"
    assert survey(machine.root, NOWHERE).usable == ()


def test_forbidden(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device of another user's."""
    machine.usb("2-1", "1a6e", "089a", 2, 4)
    machine.driver(0)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert [device.problem for device in machine.devices()] == ["no_access", "no_access"]


def test_vanishing_and_odd_files(machine: Machine) -> None:
    """Devices go while they are looked at: what can't be read is no device, or one of bus 0."""
    machine.write("sys/bus/usb/devices/2-1/idVendor", "1a6e")
    machine.write("sys/bus/usb/devices/2-2/idVendor", b"\xff\xfe\x00")
    machine.usb("2-3", "1a6e", "089a", 2, 4)
    machine.write("sys/bus/usb/devices/2-3/speed", "1.5")
    machine.write("sys/bus/usb/devices/2-3/devnum", "")
    assert machine.devices() == (EdgeTPU("usb", "usb:0", "/dev/bus/usb/002/000", "no_node"),)


def test_pci(machine: Machine) -> None:
    """In the order of the driver's numbers, not of their letters."""
    for number in (10, 2):
        machine.card(f"0000:0{number % 10}:00.0")
        machine.driver(number)
    machine.card("0000:05:00.0", vendor="0x8086")
    assert machine.devices() == (
        EdgeTPU("pci", "pci:0", "/dev/apex_2"),
        EdgeTPU("pci", "pci:1", "/dev/apex_10"),
    )


def test_pci_without_its_driver(machine: Machine) -> None:
    """The usual trouble: the card is there, gasket is not."""
    machine.card("0000:01:00.0")
    assert machine.devices() == (EdgeTPU("pci", "pci:0", "", "no_driver"),)


def test_pci_out_of_the_container(machine: Machine) -> None:
    """One card is mapped into the container, the other is not."""
    for number in range(2):
        machine.card(f"0000:0{number}:00.0")
        machine.driver(number, node=number == 0)
    assert machine.devices() == (EdgeTPU("pci", "pci:0", "/dev/apex_0"), EdgeTPU("pci", "pci:1", "", "no_node"))


@pytest.mark.parametrize(
    "folder", ["usr/lib/x86_64-linux-gnu", "usr/lib", "lib/aarch64-linux-gnu", "usr/local/lib", "usr/lib64"]
)
def test_library(machine: Machine, folder: str) -> None:
    """Debian's folders and others'."""
    installed = machine.library(folder)
    machine.usb("2-1", "1a6e", "089a", 2, 4)
    found = survey(machine.root, NOWHERE)
    assert found.library == installed
    assert [device.device for device in found.usable] == ["usb:0"]


def test_library_by_configuration(machine: Machine) -> None:
    """Where the loader's configuration leads, and where the environment leads before it."""
    configured = machine.library("opt/coral/lib")
    machine.write("etc/ld.so.conf.d/coral.conf", "# Coral\n/opt/coral/lib\n\n")
    assert find_library(machine.root, NOWHERE) == configured
    wanted = machine.library("home/me")
    assert find_library(machine.root, {"LD_LIBRARY_PATH": "/nowhere::/home/me"}) == wanted


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a library, whatever it is", id="text"),
        pytest.param(OWN_HEADER[:4] + b"\x01" + OWN_HEADER[5:], id="32 bits"),
        pytest.param(OWN_HEADER[:18] + b"\xf3\x00", id="RISC-V"),
    ],
)
def test_library_of_another_machine(machine: Machine, header: bytes) -> None:
    """A library that this process could not load is none; a good one further on is found."""
    machine.library("lib", header)
    assert find_library(machine.root, NOWHERE) is None
    good = machine.library("usr/lib")
    assert find_library(machine.root, NOWHERE) == good


def test_library_without_its_devices(machine: Machine) -> None:
    """A library alone is of no use, nor is a device alone."""
    machine.library("usr/lib")
    assert survey(machine.root, NOWHERE).usable == ()


def test_nothing_is_loaded() -> None:
    """Looking at this very machine loads neither libedgetpu nor ctypes, which could."""
    code = (
        "import sys; from embedding.devices import survey; survey();"
        "maps = open('/proc/self/maps').read(); sys.exit('edgetpu' in maps)"
    )
    core = str(Path(__file__).parents[3] / "custom_components" / "coral_imprint" / "core")
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": core})
