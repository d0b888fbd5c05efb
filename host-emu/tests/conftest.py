# SPDX-License-Identifier: GPL-2.0
"""Fixtures: the shim and the wire format, built when they are missing."""

import contextlib
import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import qtest  # noqa: E402
from host import Host, Wire  # noqa: E402


def make(*args):
    """Run make in host-emu; BUILD and SANITIZE come from the environment."""
    options = [f"{name}={os.environ[name]}" for name in ("BUILD", "SANITIZE") if name in os.environ]
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-s", "-C", os.path.dirname(HERE), *options, *args], env=env,
                          stdout=subprocess.PIPE, text=True, timeout=600, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def shims():
    """The shim for each architecture."""
    paths = {}
    qtest.ASAN = make("print-asan") if os.environ.get("SANITIZE") else ""
    for arch in qtest.ARCHES.values():
        make("shim", f"QEMU={arch.qemu}")
        paths[arch.name] = make("print-shim", f"QEMU={arch.qemu}")
    return paths


@pytest.fixture(scope="session")
def shim(shims):
    """The shim for x86_64."""
    return shims["x86_64"]


@pytest.fixture(scope="session")
def dextd_program():
    """dextd."""
    make("dextd")
    return make("print-dextd")


@pytest.fixture(scope="session")
def wire():
    """The wire format."""
    return Wire(json.loads(make("print-wire")))


@pytest.fixture
def start(shims, wire):
    """Start hosts; a sanitizer's report or a crash fails any test."""
    with contextlib.ExitStack() as ends:
        def start_host(arch="x86_64", kind=Host, **kwargs):
            host = kind(shims[arch], wire, arch=qtest.ARCHES[arch], **kwargs)
            ends.callback(host.close)
            return host

        yield start_host


@pytest.fixture(params=["rfc", "wide"])
def host(request, start):
    """A host with a command page, in each layout."""
    return start(layout=request.param)
