# SPDX-License-Identifier: GPL-2.0
"""The guest's console: what is a report of the kernel, and what is none."""

import pytest

from testbed import console

REPORTS = [
    "[   12.345678] WARNING: CPU: 0 PID: 1 at kernel/dma/debug.c:1100 check_unmap+0x1/0x2",
    "[   12.345678] WARNING: drivers/x.c:12 at foo+0x1/0x2, CPU#1: dd/123",
    "[   12.345678][  T123] WARNING: possible circular locking dependency detected",
    "[    1.0] WARNING: suspicious RCU usage",
    "[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "[   12.345678] BUG: scheduling while atomic: fio/123/0x00000002",
    "[   12.345678] BUG: sleeping function called from invalid context at mm/page_alloc.c:5",
    "[   12.345678] BUG: KASAN: slab-out-of-bounds in foo+0x1/0x2",
    "[   12.345678] BUG: Bad page state in process dd  pfn:12345",
    "[   12.345678] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [dd:123]",
    "[   12.345678] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "[   12.345678] rcu: INFO: rcu_preempt self-detected stall on CPU",
    "[   12.345678] INFO: task mkfs:123 blocked for more than 120 seconds.",
    "[   12.345678] Oops: 0002 [#1] PREEMPT SMP NOPTI",
    "[   12.345678] Internal error: Oops: 96000004 [#1] SMP",
    "[   12.345678] Unable to handle kernel paging request at virtual address 0000dead",
    "[   12.345678] general protection fault, probably for non-canonical address 0xdead: 0000",
    "[   12.345678] kernel BUG at mm/slub.c:4023!",
    "[   12.345678] Kernel panic - not syncing: Fatal exception",
    "[   12.345678] DMA-API: nvme 0000:01:00.0: device driver frees DMA memory with wrong size",
    "[   12.345678] nvme 0000:01:00.0: DMA-API: device driver maps memory from stack",
    "[   12.345678] list_del corruption. prev->next should be ffff, but was 0000",
    "[   12.345678] refcount_t: underflow; use-after-free.",
    "[   12.345678] CFI failure at foo+0x1/0x2 [x] (target: bar+0x0/0x8 [x]; expected type: 0x1)",
    "[   12.345678] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "[   12.345678] UBSAN: array-index-out-of-bounds in drivers/x.c:12:3",
    "[   12.345678] NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out",
    "[   12.345678] page dumped because: VM_BUG_ON_PAGE(PageTail(page))",
    "[   12.345678] page dumped because: PAGE_FLAGS_CHECK_AT_FREE flag(s) set",
    "[   12.345678] page dumped because: nonzero _refcount",
    "[   12.345678] page dumped because: unmovable page table",
    "[   12.345678] page dumped because: migration failures",
    "[   12.345678] page dumped because: ",
    "[   12.345678] irq 16: nobody cared (try booting with the \"irqpoll\" option)",
    "[    6.918596] BUG apple_dma (Tainted: G           OE     ): Poison overwritten",
    "[    6.918596] BUG kmalloc-64 (Not tainted): Object already free",
    "[    6.918596] BUG dm uevent (Not tainted): Objects remaining in dm uevent",
    "[    6.929226] FIX apple_dma: Restoring Poison 0xff1c5525bfa2f8d8-0xff1c5525bfa2f8d8=0x6b",
    "[    6.929440] FIX dm uevent: Marking all objects used",
    "[    6.929440] SLUB <none>: no slab for object 0x00000000deadbeef.",
    "[    6.929440] SLUB: kmalloc-64 3 slabs counted but counter=2",
    "[    6.929440] pagealloc: memory corruption",
    "[    6.929440] nvme 0000:01:00.0: dma_pool_destroy prp list page, 00000000deadbeef busy",
    "[    6.929440] nvme 0000:01:00.0: dma_pool_free prp list page, dma 0x1000 already free",
    "[    6.929440] dma_pool_alloc x, 00000000deadbeef (corrupted)",
    "[    6.456263] sysfs: cannot create duplicate filename '/kernel/apple_dma_reports'",
    "[    6.462764] kobject_add_internal failed for x with -EEXIST, don't try to register things "
    "with the same name in the same directory.",
    "[    6.462764] kobject_add_internal failed for x (error: -2 parent: kernel)",
    "[    6.462764] kobject: kobject_add_internal failed for x with -EEXIST, don't try to register",
    "[    6.462764] kobject (00000000deadbeef): tried to init an initialized object, something is "
    "seriously wrong.",
    "[    6.462764] kobject 'x' (00000000deadbeef): tried to add an uninitialized object",
    "[    6.462764] Trying to free nonexistent resource <0x00000000fe000000-0x00000000fe000fff>",
    "[    6.462764] resource: Trying to free nonexistent resource <0x00000000fe000000-0xfe000fff>",
    "[    6.462764] apple_dma 0000:00:03.0: Resources present before probing",
    "[    7.985434] divide error: 0000 [#1] PREEMPT SMP NOPTI",
    "[    7.985434] Oops: divide error: 0000 [#1] SMP NOPTI",
    "[    7.985434][  T123] invalid opcode: 0000 [#2] SMP NOPTI",
    "[    7.985434] stack segment: 0000 [#1] SMP PTI",
    "[    7.985434] int3: 0000 [#1] SMP NOPTI",
    "[    7.985434] Bad pagetable: 000f [#1] SMP",
    "[    7.985434] [ BUG: Invalid wait context ]",
    "[    7.985434] NMI watchdog: Watchdog detected hard LOCKUP on cpu 1",
    "[    7.985434] watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1",
    "[    7.985434] BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 31s!",
    "[    7.985434] softirq: huh, entered softirq 3 NET_RX 00000000deadbeef with preempt_count "
    "00000101, exited with 00000102?",
    "[    7.985434] rcu: __call_rcu_common(): Double-freed CB 00000000deadbeef->x+0x0/0x10()!!!",
    "[    7.985434] schedule_timeout: wrong timeout value ffffffffffffffff",
    "[    7.985434] irq event 24: bogus return value ffffffff",
]

HARMLESS = [
    "[    0.000000] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
    "[    0.000000] [Firmware Bug]: TSC_DEADLINE disabled due to Errata",
    "[    0.000000] DMA-API: preallocated 65536 debug entries",
    "[    0.000000] DMA-API: debugging enabled by kernel config",
    "[    0.123456] rcu: INFO: something about nothing",
    "[    1.0] apple_dma 0000:00:03.0: the host refused a mapping, BUG: not ours",
    "[    1.0] nvme nvme0: I/O 24 QID 0 timeout, disable controller",
    "[    1.0] systemd[1]: WARNING: a program's own words",
    "WARNING: printed by a program on the console",
    "BUG: printed by a program on the console",
    "[    1.0] Out of memory: Killed process 1 (fio)",
    "[    1.0] page dumped because: migration failure",
    "[    1.0] page dumped because: unmovable page",
    "[    1.0] NMI watchdog: Perf NMI watchdog permanently disabled",
    "[    1.0] debug: unmapping init [mem 0xffff]",
    "[    1.0] Oopsy daisy",
    "[    1.0] traps: prog[123] trap invalid opcode ip:4011f2 sp:7ffd1 error:0 in prog[401000+1000]",
    "[    1.0] traps: prog[123] trap divide error ip:4011f2 sp:7ffd1 error:0 in prog[401000+1000]",
    "[    1.0] kobject_add_internal failed for x (error: -12 parent: kernel)",
    "[    1.0] kobject: 'x' (00000000deadbeef): kobject_add_internal: parent: 'y', set: 'z'",
    "[    1.0] kobject_create_and_add: kobject_add error: -12",
    "[    1.0] SLUB: HWalign=64, Order=0-3, MinObjects=0, CPUs=2, Nodes=1",
    "[    1.0] SLUB: Unable to allocate memory on node -1, gfp=0xcc0(GFP_KERNEL)",
    "[    1.0] ODEBUG: selftest passed",
    "[    1.0] resource sanity check: requesting [mem 0xa0000-0xbffff], which spans more than x",
    "[    1.0] genirq: Flags mismatch irq 4. 00000080 (x) vs. 00000000 (y)",
    "",
]


@pytest.mark.parametrize("line", REPORTS)
def test_report_is_seen(line):
    assert console.report_in(line)


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless_line_is_no_report(line):
    assert console.report_in(line) is None


def test_console_is_followed_in_pieces(tmp_path):
    """A line that arrives in two pieces is one line; each counts once."""
    path = tmp_path / "console"
    log = console.Console(str(path))
    log.poll()
    path.write_bytes(b"[    1.000000] WARN")
    log.poll()
    assert not log.reports
    with path.open("ab") as file:
        file.write(b"ING: CPU: 0 PID: 1 at x\r\n[    2.0] Kernel panic - not sy")
    log.poll()
    assert log.reports == ["WARNING: CPU: 0 PID: 1 at x"] and not log.fatal
    log.finish()
    assert log.reports[1:] == ["Kernel panic - not sy"]


@pytest.mark.parametrize("crashes, reports", [(False, 3), (True, 1)])
def test_crash_that_is_asked_for(tmp_path, crashes, reports):
    """If the guest may reboot it is no report, up to the next kernel's first line."""
    path = tmp_path / "console"
    path.write_text("[    9.1] sysrq: Trigger a crash\n"
                    "[    9.2] Kernel panic - not syncing: sysrq triggered crash\n"
                    "[    9.3] WARNING: CPU: 0 PID: 1 at x\n"
                    "[    0.0] Linux version 6.1\n"
                    "[    0.1] WARNING: CPU: 0 PID: 1 at y\n", encoding="ascii")
    log = console.Console(str(path), crashes)
    log.poll()
    assert len(log.reports) == reports
    assert log.reports[-1].endswith("at y") and log.fatal is not crashes


def test_last_lines_are_printable(tmp_path):
    path = tmp_path / "console"
    path.write_bytes(b"\x1b[2J\x1b[1;1Hfirst\r\n\n\x00second\xff\n")
    assert console.Console(str(path)).last_lines(2) == ["first", "second"]
