# SPDX-License-Identifier: GPL-2.0
"""Fixtures: the shim and the wire format, built when they are missing."""

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
    for arch in qtest.ARCHES.values():
        make("shim", f"QEMU={arch.qemu}")
        paths[arch.name] = make("print-shim", f"QEMU={arch.qemu}")
    return paths


@pytest.fixture(scope="session")
def shim(shims):
    """The shim for x86_64."""
    return shims["x86_64"]


@pytest.fixture(scope="session")
def wire():
    """The wire format."""
    return Wire(json.loads(make("print-wire")))


@pytest.fixture
def start(shims, wire):
    """Start hosts; all of them are ended after the test."""
    hosts = []

    def start_host(arch="x86_64", kind=Host, **kwargs):
        hosts.append(kind(shims[arch], wire, arch=qtest.ARCHES[arch], **kwargs))
        return hosts[-1]

    yield start_host
    for host in hosts:
        # A sanitizer's report or a crash is a failure whatever the test saw.
        said = host.log()
        host.close()
        assert "runtime error" not in said, said


@pytest.fixture(params=["rfc", "wide"])
def host(request, start):
    """A host with a command page, in each layout."""
    return start(layout=request.param)
