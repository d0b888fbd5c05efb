# SPDX-License-Identifier: GPL-2.0
"""User-mode Linux: a kernel that is a process, for cases that need no device."""

import os
import shlex
import shutil
import subprocess
import tempfile

from testbed import built, cache, console, cpio, headers, kernel, module
from testbed.errors import TestbedError

RECIPE = 2              # to be raised when _make() makes something else
CONFIG = ("uml",)       # fragments of testbed/configs/

# Parts of a built tree: what a build of modules needs, and the kernel.
_KEPT = ("Makefile", ".config", "Module.symvers", "include", "scripts", "linux",
         "arch/um/Makefile*", "arch/um/include", "arch/um/scripts", "arch/x86/include",
         "arch/x86/Makefile*", "arch/x86/um/asm", "arch/x86/um/shared", "arch/x86/um/Makefile*")

# All of user space. Fault injection has to cover allocations that may sleep.
_INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t debugfs none /sys/kernel/debug
for f in failslab/ignore-gfp-wait fail_page_alloc/ignore-gfp-wait; do
	echo N >/sys/kernel/debug/$f
done
for f in failslab/verbose fail_page_alloc/verbose fail_page_alloc/min-order; do
	echo 0 >/sys/kernel/debug/$f
done
/bin/busybox insmod /kunit.ko {parameters} && /bin/busybox rmmod {name} &&
	echo "kunit: the module is gone"
/bin/busybox poweroff -f
"""

GONE = "kunit: the module is gone"


def _version():
    return built.source_version(kernel.own_suite())


def tree():
    """The build tree of the built kernel; `linux` in it is the binary."""
    version = _version()
    name = f"uml/{version}.{built.key(version, CONFIG)}.{RECIPE}"
    return cache.entry(name, "building user-mode Linux", built.MIB,
                       lambda work, final: _make(work))


# The bytes that user-mode Linux has for the floating point registers of a process. It cannot
# set any on a CPU that has more: AMX alone has 8 KiB. Unused bytes do no harm.
_REGISTERS = ("arch/x86/um/user-offsets.c", "DEFINE_LONGS(HOST_FP_SIZE, {});", 2696, 12288)


def _fit_registers(source):
    name, line, few, enough = _REGISTERS
    path = os.path.join(source, name)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(line.format(few)) != 1:
        raise TestbedError(f"{name} of the kernel's source has no {line.format(few)} any more; "
                           "see _REGISTERS in scripts/lib/kunit/uml.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(line.format(few), line.format(enough)))


def _make(work):
    source = built.unpack(kernel.own_suite(), work)
    _fit_registers(source)
    built.configure(source, CONFIG, "um")
    built.compile_kernel(source, ["linux", "modules"], "um")
    target = os.path.join(work, "build")
    built.prune(source, target, _KEPT)
    return target


def _initramfs(path, ko, parameters):
    busybox = shutil.which("busybox")
    if not busybox:
        raise TestbedError("'busybox' is missing: install the package busybox-static "
                           "(scripts/setup vm)")
    init = _INIT.format(parameters=shlex.join(parameters),
                        name=os.path.splitext(os.path.basename(ko))[0])
    cpio.initramfs(path, busybox, init.encode(), {"kunit.ko": ko})


def reports(log, begin):
    """What the kernel reported in its LOG after BEGIN, which the module prints first."""
    return [line for line in log.partition(begin)[2].splitlines() if console.report_in(line)]


def run(parameters, timeout, source, *options):
    """Load the module in SOURCE with PARAMETERS, unload it: (the log, its parser's folder).

    OPTIONS are more for the kernel's command line.
    """
    folder = tree()
    ko = module.build_in(headers.Tree(folder, "", "gcc", ""), "uml", "um", source, strict=True)
    with tempfile.TemporaryDirectory(prefix="apple-dma-uml.") as work:
        initramfs = os.path.join(work, "initramfs")
        _initramfs(initramfs, ko, parameters)
        command = [os.path.join(folder, "linux"), "mem=512M", f"initrd={initramfs}",
                   "rdinit=/init", "con=null", "con0=null,fd:1", "console=tty0",
                   "panic=-1", "loglevel=8", "printk.time=1", *options]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=timeout, check=False,
                                  env={**os.environ, "TMPDIR": work}, cwd=work)
            out = done.stdout
        except subprocess.TimeoutExpired as late:
            out = (late.stdout or b"") + b"\nkunit: user-mode Linux did not end in time\n"
    return out.decode(errors="replace").replace("\r", ""), os.path.join(folder, "kunit")
