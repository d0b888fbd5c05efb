# SPDX-License-Identifier: GPL-2.0
"""The guest's serial console: followed while it grows, searched for reports."""

import re

# What the kernel prints when something is wrong with the kernel. Each is
# looked for after the time stamp (and the caller's id, where there is one).
REPORTS = [re.compile(pattern) for pattern in (
    r"WARNING: (?!.*Unprivileged eBPF)",
    r"(?:watchdog: )?BUG: ",
    r"\[ BUG: ",                        # lockdep's
    r"BUG .+ \((?:Not tainted|Tainted: .*)\): ",     # SLUB's, after the name of a cache
    r"FIX .+: ",                        # what SLUB does about it
    r"SLUB(?: .*)?: (?:no slab for object|.*slabs counted but counter=)",
    r"pagealloc: (?:single bit error|memory corruption)",
    r"(?:\S+ \S+: )?dma_pool_\w+ .*(?:\bbusy$|\(corrupted\)|\(bad |already free)",
    r"Oops\b",
    r"[^:]+: [0-9a-f]{4} \[#\d+\]",     # any trap of x86: divide error, stack segment, ...
    r"Internal error: ",
    r"Unable to handle kernel ",
    r"general protection fault",
    r"double fault",
    r"kernel BUG at ",
    r"Kernel panic ",
    r"kernel tried to execute ",
    r"(?:rcu: )?INFO: .*(?:detected (?:expedited )?stalls|self-detected stall)",
    r"rcu: .* kthread starved",
    r"INFO: task .* blocked for more than",
    r"INFO: possible ",
    r"INFO: trying to register non-static key",
    r"INFO: NMI handler .* took too long",
    r"=+ ?WARNING",
    r"CFI failure at ",
    r"UBSAN: ",
    r"KASAN: ",
    r"KFENCE: ",
    r"list_(?:add|del) corruption",
    r"refcount_t: ",
    r"slab .*corrupt",
    r"(?:Object|Freelist) (?:already free|corrupt)",
    r"Bad (?:page|rss-counter) ",
    # The kernel gives these two reasons only when memory is taken offline: a page cannot be
    # moved, so the block stays online; or a page is in use, and the kernel tries again.
    r"page dumped because(?!: (?:unmovable page|migration failure)$)",
    r"kmemleak: \d+ new suspected",
    r"(?:\S+ \S+: )?DMA-API: (?!preallocated|debugging |disabled|dma_debug|exceeded)",
    r"Voluntary context switch within RCU",
    r"scheduling while atomic",
    r"sleeping function called from invalid context",
    r"irq \d+: nobody cared",
    r"irq event \d+: bogus return value",
    r"(?:NMI )?watchdog: .*hard LOCKUP",
    r"softirq: huh, ",
    r"(?:rcu: )?\w+\(\): Double-freed CB",
    r"schedule_timeout: wrong timeout",
    r"(?:resource: )?Trying to free nonexistent resource",
    r"\S+ \S+: Resources present before probing",
    r"sysfs: cannot create duplicate filename",
    # Without memory it has to fail, and prints this as well.
    r"(?:kobject: )?kobject_add_internal failed for (?!.*\(error: -12 )",
    r"(?:kobject: )?kobject (?:'.*' )?\(\w+\): ",
    r"NETDEV WATCHDOG: ",
    r"unregister_netdevice: waiting",
    r"hung_task: ",
)]

# After one of these the guest does not go on.
FATAL = re.compile(r"Kernel panic|\bOops\b|Internal error: |kernel BUG at |soft lockup|"
                   r": [0-9a-f]{4} \[#\d+\]")

# A crash that the guest asked for, and the first line of the kernel after it.
ASKED = re.compile(r"sysrq: Trigger a crash")
NEXT = re.compile(r"Linux version ")

_PREFIX = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?")


def text_of(line):
    """What the kernel printed in a console LINE, without its time stamp, or None."""
    line = line.rstrip("\r\n")
    match = _PREFIX.match(line)
    return line[match.end():] if match else None


def report_in(line):
    """The kernel report in a console LINE, without its time stamp, or None."""
    text = text_of(line)
    if text is None:
        return None
    for pattern in REPORTS:
        if pattern.match(text):
            return text
    return None


class Console:
    """A console log that QEMU writes: new lines, reports, and its end.

    With CRASHES, what is printed between a crash that the guest asks for and the
    next kernel is no report.
    """

    def __init__(self, path, crashes=False):
        self._path = path
        self._crashes = crashes
        self._crashing = False
        self._offset = 0
        self._rest = ""
        self.reports = []
        self.fatal = False

    def poll(self):
        """Take what was written since the last call."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        self._offset += len(data)
        lines = (self._rest + data.decode(errors="replace")).split("\n")
        self._rest = lines.pop()
        for line in lines:
            self._take(line)

    def _take(self, line):
        text = text_of(line) or ""
        if self._crashes and ASKED.match(text):
            self._crashing = True
        elif NEXT.match(text):
            self._crashing = False
        report = None if self._crashing else report_in(line)
        if report:
            self.reports.append(report)
            self.fatal = self.fatal or bool(FATAL.search(report))

    def finish(self):
        """Take the rest, the last line complete or not."""
        self.poll()
        if self._rest:
            self._take(self._rest)

    def last_lines(self, count=15):
        """The last COUNT lines of the log, printable."""
        try:
            with open(self._path, "rb") as file:
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            return []
        lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x20-\x7e\t]", "", line).rstrip()
                 for line in text.split("\n")]
        return [line for line in lines if line][-count:]
