# SPDX-License-Identifier: GPL-2.0
"""A kernel with KUnit in the testbed, for cases that need devices."""

import os
import tempfile

from testbed import arch as arches
from testbed import call, kernel, module

# The guest's script. Fault injection has to cover allocations that may sleep.
_SCRIPT = """
cd /sys/kernel/debug
for f in failslab/ignore-gfp-wait fail_page_alloc/ignore-gfp-wait \
		fail_page_alloc/ignore-gfp-highmem; do
	[ ! -e $f ] || echo N >$f
done
for f in failslab/verbose fail_page_alloc/verbose fail_page_alloc/min-order; do
	[ ! -e $f ] || echo 0 >$f
done
# insmod waits until all cases have run.
echo 0 >/proc/sys/kernel/hung_task_timeout_secs
dmesg -n 7
dmesg -C
insmod /root/kunit.ko only="$1"
echo "insmod: $?"
rmmod apple_dma_kunit && echo "kunit: the module is gone"
dmesg
"""

# Two companions with a device each that no driver of the kernel takes.
_DEVICES = ["edu", "edu"]

EXITS = {97: "the guest's kernel reported a problem", 98: "there was a DART fault",
         99: "the testbed failed"}


def run(name, only, timeout, source):
    """Run the cases ONLY of the module in SOURCE in the kernel NAME.

    Returns the kernel's log, the folder of its parser, and why the run as a
    whole failed, if it did.
    """
    found = kernel.find(name, arches.X86_64)
    ko = module.build(found, arches.X86_64, source, strict=True)
    with tempfile.TemporaryDirectory(prefix="apple-dma-kunit.") as work:
        console = os.path.join(work, "console")
        done = call.run(call.words(
            ["sh", "-c", _SCRIPT, "sh", only], kernel=name, no_module=True, no_wait=True,
            console=console, timeout=timeout, append="log_buf_len=4M",
            push=[f"{ko}:/root/kunit.ko"], device=_DEVICES))
        log = done.stdout
        if "KTAP version" not in log and os.path.exists(console):
            with open(console, encoding="utf-8", errors="replace") as file:
                log += file.read()
    why = ""
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        why = (EXITS.get(done.returncode, f"the testbed ended with {done.returncode}") +
               (f": {lines[-1]}" if lines else ""))
    return log, os.path.join(found.build_tree, "kunit"), why
