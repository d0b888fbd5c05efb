# SPDX-License-Identifier: GPL-2.0
"""A guest of the testbed that runs one script, and what the script printed."""

import json
import os
import tempfile

from testbed import cache, call, kernel, module
from testbed.errors import TestbedError

from .config import platform

SOURCE = os.path.join(cache.SCRIPTS, "lib", "bench", "guest")
KO = "/root/apple_dma_bench.ko"
EDU = "edu,dma_mask=0xffffffffffffffff"

# With `rep movsb` each byte would count as one instruction. The clock of arm64 has to
# count each ns, as that of x86_64 does.
CPU = {"x86_64": "-cpu max,-erms,-fsrm",
       "arm64": "-cpu max,pauth-impdef=on,cntfrq=1000000000"}

# at NAME starts a section; what a section prints is "key value" lines.
PRELUDE = r"""
set -eu
at() { echo "@@ $*"; }
fail() { echo "guest: $*" >&2; exit 1; }
apple=$(echo /sys/bus/pci/drivers/apple_dma/0*/apple_dma)
edu=/sys/bus/pci/drivers/apple_dma_bench
for each in $edu/0000:*; do [ ! -e "$each" ] || edu=$each; done
counts() {
	echo "host $(host-stats | tr -d '\n')"
	for each in $apple; do
		[ -d "$each" ] || continue
		echo "sysfs $(cd "$each" && grep -s '' -- * | sed 's/:/=/' | tr '\n' ' ')"
	done
}
load() {
	insmod /root/apple_dma_bench.ko
	for each in $edu/0000:*; do [ ! -e "$each" ] || edu=$each; done
	[ -e "$edu/run" ] || fail "no device for the benchmark's module"
	domain "$edu"
}
# The IOMMU domain of a device has to be of the type that is measured.
domain() {
	found=$(cat "$1/iommu_group/type" 2>/dev/null || true)
	[ "$found" = "$want_domain" ] ||
		fail "the IOMMU domain of ${1##*/} is '$found', not '$want_domain'"
}
# bench SECTION COMMAND: a command of the benchmark's module, counts around it.
bench() {
	at "$1.before"
	counts
	at "$1"
	shift
	echo "$*" >"$edu/run" || { dmesg | tail -20 >&2; fail "command failed: $*"; }
	cat "$edu/result"
	counts
}
"""


class BenchError(TestbedError):
    """A measurement that could not be made."""


class Section:
    """What one section of a script printed."""

    def __init__(self):
        self.values = {}        # key: words
        self.hosts = []         # what each companion's host counted
        self.modules = []       # the values in each companion's sysfs

    def number(self, key, otherwise=None):
        """The number that KEY has, or OTHERWISE."""
        words = self.values.get(key)
        return int(words[0]) if words else otherwise

    def host(self, key, index=0):
        """A host-side count, or None where there is no companion."""
        return self.hosts[index].get(key) if index < len(self.hosts) else None

    def module(self, key, index=0):
        """A count in the module's sysfs, or None where it is not there."""
        text = self.modules[index].get(key, "") if index < len(self.modules) else ""
        return int(text) if text.isdigit() else None


def parse(text):
    """{section: Section} of a script's output."""
    found, current = {}, Section()
    for line in text.splitlines():
        key, _, rest = line.partition(" ")
        if key == "@@":
            current = found.setdefault(rest, Section())
        elif key == "host":
            current.hosts = json.loads(rest)
        elif key == "sysfs":
            current.modules.append(dict(word.split("=", 1) for word in rest.split()
                                        if "=" in word))
        elif key:
            current.values[key] = rest.split()
    return found


def delta(sections, name, key, source="host", index=0):
    """By how much a count rose in the section NAME; None where it is not counted."""
    ends = [getattr(sections[each], source)(key, index) for each in (f"{name}.before", name)]
    return None if None in ends else ends[1] - ends[0]


def compiled(name, *options):
    """The program or plugin that the benchmark's source NAME.c makes with gcc's OPTIONS.

    Guests start in parallel: one may read it while another builds it, so it is always whole.
    """
    suffix = ".so" if "-shared" in options else ""
    target = os.path.join(cache.REPO, "build", "bench", name + suffix)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(target)) as folder:
        made = os.path.join(folder, name)
        cache.run([cache.tool("gcc"), "-O2", "-Wall", "-Wextra", "-Werror", *options, "-o", made,
                   os.path.join(cache.SCRIPTS, "lib", "bench", f"{name}.c")],
                  f"building scripts/lib/bench/{name}.c")
        os.rename(made, target)
    return target


def bench_module(name):
    """The benchmark's module, built for the kernel NAME."""
    arch, name = platform(name)
    return module.build(kernel.find(name, arch), arch, SOURCE)


def command_line(config, name, command, devices=(EDU,), qemu=(), push=(), **options):
    """The testbed's command line for a guest of CONFIG with DEVICES; OPTIONS are its own."""
    arch, kernel_name = platform(name)
    qemu, append = [CPU[arch.name], *qemu], config.append
    if config.apple:
        options.update(module=config.module, device=devices)
    else:
        options["no_module"] = True
        # An IOMMU's driver may have to come first.
        append = f"{append} modprobe.blacklist=nvme,e1000e".strip()
        qemu.append(" ".join([config.qemu] + [
            f"-device pcie-root-port,id=bench{i},bus={config.bus},chassis={100 + i} "
            f"-device {each},bus=bench{i},romfile=" for i, each in enumerate(devices)]))
    return call.words(command, arch=arch.name, kernel=kernel_name, qemu=qemu, append=append,
                      push=[f"{bench_module(name)}:{KO}", *push], **options)


def script(config, text, first=True):
    """TEXT as the guest runs it: with the shell's functions and, at FIRST, the drivers."""
    start = f"want_domain={config.domain}\n"
    if first and config.driver:
        start += f"modprobe {config.driver}\n"
    if first and not config.apple:
        start += "modprobe nvme\nmodprobe e1000e\n"
    return PRELUDE + start + text


CALLS = call.Calls()


def run(config, name, text, timeout=1800, push=(), **options):
    """Run the script TEXT in a guest; {section: Section}."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script(config, text))
        file.flush()
        done = CALLS.run(command_line(config, name, ["bash", "/root/bench.sh"], timeout=timeout,
                                      push=[f"{file.name}:/root/bench.sh", *push], **options))
    if done.returncode:
        tail = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise BenchError(f"{config.name} on {name}: the guest ended with {done.returncode}:\n"
                         f"  {tail}")
    return parse(done.stdout)
