# SPDX-License-Identifier: GPL-2.0
"""One guest with devices behind DARTs: run it, and judge each device."""

import json
import os
import random
import re
import shutil
import tempfile
from dataclasses import dataclass, field

from testbed import built, cache, call
from testbed.errors import EXIT_FAULT, TestbedError

from . import models

DRM_SHOW = os.path.join(cache.SCRIPTS, "lib", "compat", "drm-show.c")
BUILT_HERE = built.KERNELS              # these are slow
SOUND_BYTES = 2 * 44100 * 4             # two seconds
WAV_HEADER = 44
CANNOT = "cannot"                       # the result of a model that cannot be run
SHARED = "shared guest"                 # the device of a row about a whole guest


@dataclass
class Setting:
    """What all guests of a table have in common."""

    kernel: str = "6.1"
    arch: str = "x86_64"
    mode: str = ""              # of the module; empty for its default
    mib: int = 0                # moved at a time; 0: what the kernel can take
    qemu: tuple = ()            # more arguments of QEMU
    keep: str = ""              # a folder for consoles

    @property
    def slow(self):
        """Whether the kernel checks everything it does."""
        return self.kernel in BUILT_HERE

    @property
    def limit(self):
        """Seconds that a device may take."""
        return 2400 if self.slow else 600


@dataclass
class Row:
    """The result of one device in one guest."""

    device: str
    kernel: str
    arch: str
    mode: str = ""              # of the module, if not its default
    beside: tuple = ()          # devices that were busy at the same time
    driver: str = ""
    mask: int = 0               # the bits its driver asked for
    moved: int = 0
    rounds: int = 0
    doorbells: int = 0
    peak: int = 0
    peak_bytes: int = 0
    faults: int = 0             # None when nobody has counted them
    result: str = "ok"
    note: str = ""
    said: str = field(default="", repr=False)   # the testbed's stderr, of a failure

    @property
    def good(self):
        """Whether it works, or cannot be run."""
        return self.result in ("ok", CANNOT)


def drm_show(arch):
    """The path of drm-show for guests of ARCH."""
    compiler = ("aarch64-linux-gnu-" if arch == "arm64" else "") + "gcc"
    with open(DRM_SHOW, "rb") as file:
        key = cache.digest(file.read(), compiler)

    def make(work, _final):
        made = os.path.join(work, "drm-show")
        cache.run([cache.tool(compiler), "-static", "-O2", "-Wall", "-Wextra", "-Werror",
                   "-idirafter", "/usr/include", "-o", made, DRM_SHOW], "building drm-show")
        return made

    path = cache.entry(f"drm-show/{key}", "building drm-show", 2, make)
    os.chmod(path, 0o755)
    return path


def heard(path, played):
    """None when the bytes PLAYED are in the wav file at PATH, else what is not."""
    try:
        with open(path, "rb") as file:
            wav = file.read()[WAV_HEADER:]
    except OSError:
        return "QEMU heard nothing"
    if played in wav:
        return None
    match = 0
    while match < len(played) and played[:match + 4096] in wav:
        match += 4096
    return f"QEMU heard {len(wav)} bytes, and of what was played the first {match} in one piece"


def command(chosen, setting, folder, together):
    """The testbed's command line for a guest with the models CHOSEN."""
    devices, host, qemu, words = [], ["iova=random"], [], []
    for number, model in enumerate(chosen):
        devices.append(model.device.format(i=number))
        host.append(f"{number}:iova-bits={model.bits}")
        qemu += filter(None, (models.backend(model, number, folder), model.more.format(i=number)))
        words.append(f"dev{number}:{model.kind}" +
                     (":bound" if model.leaves and setting.slow else ""))
    pushes = [push for kind, push in (
        (models.SCREEN, f"{drm_show(setting.arch)}:/usr/bin/drm-show"),
        (models.SOUND, os.path.join(folder, "sound.raw")))
        if any(model.kind == kind for model in chosen)]
    return call.words(
        ["device-test", *["--together"] * together,
         "--mib", str(setting.mib or (2 if setting.slow else 8)),
         "--limit", str(setting.limit), *words],
        kernel=setting.kernel, arch=setting.arch, mem="2G" if setting.slow else "1G",
        timeout=(1 if together else len(chosen)) * setting.limit + 900,
        stats=os.path.join(folder, "stats"), console=os.path.join(folder, "console"),
        module=setting.mode and f"mode={setting.mode}", qemu_suite=chosen[0].suite,
        device=devices, host=host, qemu=[*qemu, *setting.qemu], push=pushes)


def run(chosen, setting, together=False):
    """Run a guest with the models CHOSEN; a Row for each.

    A guest that got a kernel report or broke down is run again with each device
    alone, so that a row is about its own device. When each is good alone, a row about
    the guest has the failure.
    """
    if any(model.cannot for model in chosen):
        able = [model for model in chosen if not model.cannot]
        return (run(able, setting, together) if able else []) + [
            Row(model.name, setting.kernel, setting.arch, setting.mode, driver=model.driver,
                result=CANNOT, note=model.cannot) for model in chosen if model.cannot]
    folder = tempfile.mkdtemp(prefix="apple-dma-compat.")
    try:
        rows, status = _run(chosen, setting, folder, together)
        if setting.keep:
            name = "+".join(model.name for model in chosen[:4])
            for part in ("console", "stderr"):
                source = os.path.join(folder, part)
                if os.path.exists(source):
                    shutil.copy(source, os.path.join(setting.keep,
                                                     f"{setting.kernel}-{name}.{part}"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if len(chosen) > 1 and not together and status not in (0, EXIT_FAULT):
        alone = [row for model in chosen for row in run([model], setting)]
        return alone + ([_shared(rows, setting)] if all(row.good for row in alone) else [])
    return rows


def _shared(rows, setting):
    """The Row of a guest that failed with the devices of ROWS, which are all good alone."""
    return Row(SHARED, setting.kernel, setting.arch, setting.mode, result=rows[0].result,
               note=f"not with each alone: {', '.join(row.device for row in rows)}",
               faults=sum(row.faults or 0 for row in rows), said=rows[0].said)


CALLS = call.Calls()


def _run(chosen, setting, folder, together):
    played = random.randbytes(SOUND_BYTES)
    for number, model in enumerate(chosen):
        if model.kind == models.DISK:
            with open(os.path.join(folder, f"d{number}.img"), "wb") as file:
                file.truncate(models.DISK_MIB * cache.MIB)
    with open(os.path.join(folder, "sound.raw"), "wb") as file:
        file.write(played)
    done = CALLS.run(command(chosen, setting, folder, together))
    with open(os.path.join(folder, "stderr"), "w", encoding="utf-8") as file:
        file.write(done.stderr)
    if done.returncode in (2, 130):
        raise TestbedError(f"the guest was not run: {done.stderr.strip()}")
    stats = {}
    if os.path.exists(os.path.join(folder, "stats")):
        with open(os.path.join(folder, "stats"), encoding="utf-8") as file:
            stats = json.load(file)
    rows = []
    for number, model in enumerate(chosen):
        said = dict(re.findall(rf"^dev{number} (\w+)=(.*)$", done.stdout, re.MULTILINE))
        row = judged(model, setting, said, stats.get(f"companion{number}", {}), done)
        if together:
            row.beside = tuple(other.name for other in chosen if other is not model)
        if row.good and model.kind == models.SOUND:
            row.result = heard(os.path.join(folder, f"a{number}.wav"), played) or "ok"
        rows.append(row)
    return rows, done.returncode


def judged(model, setting, said, counted, done):
    """The Row of MODEL, from what the guest SAID, what the host COUNTED and DONE, the run."""
    row = Row(model.name, setting.kernel, setting.arch, setting.mode, driver=model.driver,
              note=model.note, mask=int(said.get("mask", 0)), moved=int(said.get("moved", 0)),
              rounds=int(said.get("rounds", 0)), doorbells=counted.get("doorbells", 0),
              peak=counted.get("peak", 0), peak_bytes=counted.get("peak_bytes", 0),
              faults=counted.get("faults"))
    if model.leaves and setting.slow:
        row.note = f"not unbound: the driver would leave {model.leaves} mapped"
    row.result = _problem(model, said, counted, done) or "ok"
    if not row.good:
        row.said = done.stderr[-3000:]
    return row


def _problem(model, said, counted, done):
    """What is wrong with one device of a guest, or None."""
    if done.returncode not in (0, EXIT_FAULT):
        first = re.search(r"^testbed: (.*)$", done.stderr, re.MULTILINE)
        return first[1] if first else f"the testbed ended with {done.returncode}"
    if said.get("result") != "ok":
        return said.get("result", "the guest says nothing of it")
    if model.driver not in said["drivers"].split(","):
        return f"its drivers are {said['drivers']}, not {model.driver}"
    if not int(said["moved"]):
        return "no data was moved"
    if not counted.get("map_entries"):
        return "nothing was mapped"
    if counted.get("faults") is None:
        return "nobody has counted its faults"
    for name in ("faults", "failed_entries", "duplicate_handles", "live", "bad_commands"):
        if counted.get(name, 0):
            return f"the host counted {name}: {counted[name]}"
    return None
