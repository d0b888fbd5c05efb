# SPDX-License-Identifier: GPL-2.0
"""Who counts what: a DART, which is there to the end, and a companion, which may not be."""

import json

import pytest

import qtest
from conftest import make
from dext import Dextd, Passthrough
from host import PORT

NOWHERE = 0x123456000


@pytest.fixture(name="plugged")
def _plugged(start, tmp_path):
    """A machine whose companion is in a slot; each writes its statistics."""
    acpi = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]
    return start(program=False, args=acpi, devices=[
        f"pcie-root-port,id=rp0,chassis=1,addr={PORT >> 3:x}",
        f"apple-dart,id=dart0,port=rp0,enforce=on,stats={tmp_path / 'dart0'}",
        "edu,bus=rp0,dma_mask=0xffffffffffffffff",
        "pcie-root-port,id=rp1,chassis=2,addr=5,slot=2",
        "apple-slot,id=companion0-slot,port=rp1",
        f"apple-dma-pci,id=companion0,dart=dart0,bus=rp1,stats={tmp_path / 'companion0'}"])


def test_dart_counts_when_its_companion_is_gone(plugged, tmp_path):
    plugged.edu_reads(NOWHERE, 16)
    plugged.set("companion0-slot", "empty", True)
    plugged.edu_writes(NOWHERE, 16)
    now = plugged.get("dart0", "stats")
    assert plugged.quit() == 0
    assert json.loads((tmp_path / "companion0").read_text())["faults"] == 1
    assert (tmp_path / "dart0").read_text() == now + "\n"
    assert json.loads(now) == {"name": "dart0", "dart_entries": 0, "dart_bytes": 0, "faults": 2,
                               "read_faults": 1, "write_faults": 1,
                               "modelled_us": 50, "panics": 0, "panic": None, "enforced": True}


def test_dart_has_its_file_before_it_starts(plugged):
    with pytest.raises(RuntimeError, match="cannot be changed any more"):
        plugged.set("dart0", "stats", "/tmp/x")


def test_faults_of_an_extension_are_not_known_to_the_companion(shims, wire, tmp_path):
    """The extension does not tell them; 0 would be a guess."""
    make("dextd")
    extension = Dextd(make("print-dextd"), tmp_path, "dma-engine")
    host = Passthrough(shims["x86_64"], wire, extension, "", arch=qtest.ARCHES["x86_64"])
    try:
        now = host.stats()
    finally:
        host.close()
        extension.close()
    for name in ("faults", "read_faults", "write_faults", "dart_entries", "dart_bytes",
                 "modelled_us"):
        assert now[name] is None, name
