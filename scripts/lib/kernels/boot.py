# SPDX-License-Identifier: GPL-2.0
"""Boot a kernel: the NVMe round trip, and the driver unbound and bound again."""

import json
import os
import re
import tempfile

from testbed import arch as arches
from testbed import built, cache, call, headers

GUEST = os.path.join(os.path.dirname(os.path.realpath(__file__)), "guest.sh")
REBINDS = 4
TIMEOUT = 900           # seconds, on a busy machine


def has_nvme(wanted):
    """Whether nvme is built into a kernel, as in cloud kernels: it comes before any module."""
    tree = headers.prepare(wanted, arches.find(wanted.arch))
    return "CONFIG_BLK_DEV_NVME=y" in tree.config.splitlines()


def _command(wanted, folder, early):
    disk, stats = os.path.join(folder, "disk"), os.path.join(folder, "stats")
    with open(disk, "wb") as file:
        file.truncate(256 * cache.MIB)
    return call.words(
        ["bash", "/root/guest.sh", str(REBINDS)], arch=wanted.arch,
        kernel=wanted.name if wanted.name in built.KERNELS else wanted.release,
        timeout=TIMEOUT, stats=stats, device=["nvme,drive=d0,serial=a"],
        # What the driver does before the module is there is no fault.
        host=["iova=random", *(["enforce=auto"] if early else [])],
        qemu=[f"-drive file={disk},if=none,id=d0,format=raw,cache=unsafe"],
        push=[f"{GUEST}:/root/guest.sh"])


def wrong(wanted, page_size, early, said, stats):
    """What is wrong after a run that ended with status 0."""
    for name, value in (("release", wanted.release), ("page_size", str(page_size)),
                        ("rebinds", str(REBINDS)), ("probed_again", str(int(early)))):
        if said.get(name) != value:
            yield f"{name} is {said.get(name)}, not {value}"
    if not said.get("files", "").isdigit() or int(said["files"]) < 100:
        yield f"{said.get('files')} files were compared"
    for name in ("faults", "live", "live_bytes", "duplicate_handles", "failed_entries"):
        if stats[name]:
            yield f"{name} is {stats[name]} at the end"


def boot(wanted, page_size):
    """Boot the Kernel WANTED; its headers say PAGE_SIZE.

    Returns ({name: value} that the guest printed, what went wrong, as a text).
    """
    early = has_nvme(wanted)
    with tempfile.TemporaryDirectory(prefix="apple-dma-kernels.") as folder:
        done = call.run(_command(wanted, folder, early))
        said = dict(re.findall(r"^(\w+)=(\S+)$", done.stdout, re.M))
        if done.returncode:
            return said, f"status {done.returncode}\n{done.stdout}{done.stderr}"
        with open(os.path.join(folder, "stats"), encoding="utf-8") as file:
            stats = json.load(file)["companion0"]
    return said, "; ".join(wrong(wanted, page_size, early, said, stats))
