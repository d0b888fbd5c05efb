# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/testbed."""

import argparse
import concurrent.futures
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time

from . import arch as arches
from . import device, dext, host, image, kernel, module, otherqemu, qemu, tsc
from .errors import (EXIT_FAULT, EXIT_PANIC, EXIT_REPORT, EXIT_TESTBED, Parser, TestbedError,
                     UsageError, detail, reported, tried_again, warn)
from .session import Session, failure_details, window

MAX_CPUS = 128
TRIES = 3               # of a guest whose boot QEMU spoils
SPOILED = ("the kernel ran into a breakpoint that was not there any more, or a CPU's timer "
           "stopped, before anything of ours ran")
DART_COUNTS = ("dart_entries", "dart_bytes", "faults", "read_faults", "write_faults",
               "modelled_us", "panics", "panic")
SHARED_COUNTS = ("shared_bytes", "shared_peak_bytes")   # with --host shared-bytes
SHELLS = ("sh", "bash", "dash", "/bin/sh", "/bin/bash")

USAGE = """scripts/testbed run [OPTION]... -- COMMAND [ARG...]
       scripts/testbed prepare [--arch ARCH]... [--kernel NAME]...
       scripts/testbed kernels [--arch ARCH]
       scripts/testbed devices [--arch ARCH]"""

EPILOG = """COMMAND runs as root in the guest, in /root; its output is this command's output
and its status the exit status, except:
  96  a map would have taken a Mac down (--host panic-bytes, panic-entries)
  97  the guest's kernel reported a problem (WARN, BUG, Oops, panic, lockdep, ...)
  98  the DART refused an access of a device (not with --allow-faults)
  99  the testbed failed: timeout, QEMU died, a device got no driver, ...
In the guest: $APPLE_DMA_KO is the module, $BOOT counts the boots, `host-stats`
prints what the emulated hosts counted, `host-set dart0 enforce on` changes one.
`-- sh` with a terminal is an interactive guest."""


def _positive(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return value


def _cpus(text):
    if not text.isdigit() or not 1 <= int(text) <= MAX_CPUS:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to {MAX_CPUS}")
    return int(text)


def _count(text):
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number, 0 or more")
    return int(text)


def parser():
    """The parser of the whole command line."""
    top = Parser(prog="testbed", usage=USAGE, epilog=EPILOG, allow_abbrev=False,
                 formatter_class=argparse.RawDescriptionHelpFormatter,
                 description="Boot a Linux guest with stock QEMU devices behind emulated DARTs.")
    commands = top.add_subparsers(prog="testbed", dest="verb",
                                  metavar="run|prepare|kernels|devices")
    run = commands.add_parser("run", usage="scripts/testbed run [OPTION]... -- COMMAND [ARG...]",
                              epilog=EPILOG, allow_abbrev=False,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    add = run.add_argument
    add("--arch", default="x86_64", help="x86_64 (default) or arm64")
    add("--kernel", default="6.1", metavar="NAME", help="see 'testbed kernels'; default 6.1")
    add("--mem", default="1G", metavar="SIZE", help="the guest's memory; default 1G")
    add("--cpus", default=2, type=_cpus, metavar="N", help="its processors; default 2")
    add("--device", action="append", default=[], metavar="SPEC",
        help="a QEMU device behind its own DART, e.g. nvme,drive=d0,serial=a")
    add("--dext-device", action="append", default=[], metavar="SPEC",
        help="a device of a driver extension, through vfio-apple-pci: nvme or dma-engine, with "
        "dextd's keys, e.g. nvme,size=1G")
    add("--qemu", action="append", default=[], metavar="'ARGS'",
        help="arguments for QEMU itself: drives, netdevs, devices not behind a DART")
    add("--qemu-suite", default="", metavar="SUITE",
        help="the QEMU of another Debian suite (" + ", ".join(otherqemu.SUITES) +
        "), for models that this machine's lacks")
    add("--host", action="append", default=[], metavar="[I:]KEY=VALUE",
        help="an option of the emulated hosts, or of that of device I, those of --dext-device "
        "counted after those of --device: " + ", ".join(host.KEYS))
    group = run.add_mutually_exclusive_group()
    group.add_argument("--module", default="", metavar="'PARAMS'",
                       help="parameters of the guest module")
    group.add_argument("--no-module", action="store_true", help="do not load the guest module")
    add("--push", action="append", default=[], metavar="FILE[:GUESTPATH]",
        help="put a file or folder into the guest; default /root/NAME")
    add("--stats", metavar="FILE", help="write what each companion counted, as JSON")
    add("--console", metavar="FILE", help="write the guest's serial console")
    add("--timeout", type=_positive, default=300.0, metavar="S",
        help="seconds that the run may take; default 300")
    add("--allow-faults", action="store_true", help="a DART fault is no failure")
    add("--reboots", type=_count, default=0, metavar="N",
        help="the guest may reboot N times; COMMAND starts again each time")
    add("--no-wait", action="store_true",
        help="start COMMAND even if a device got no driver")
    add("--hotplug", action="store_true",
        help="each device and companion has a slot: `host-ask pull device0` takes one out, "
        "`host-ask plug companion0` puts one back")
    add("--append", default="", metavar="'ARGS'", help="more kernel arguments")
    add("--name", default="apple-dma-testbed", help="a name for QEMU's process")
    add("--icount", action="store_true",
        help="time counts instructions: each is one ns, and idle time is skipped")
    add("--verbose", action="store_true", help="show QEMU's command line and the time line")
    sub = commands.add_parser("prepare", allow_abbrev=False,
                              description="Get and build what later runs need.")
    sub.add_argument("--arch", action="append", help="x86_64 (default) or arm64; may be repeated")
    sub.add_argument("--kernel", action="append", metavar="NAME",
                     help="see 'testbed kernels'; default 6.1; may be repeated")
    sub.add_argument("--print-modules", action="store_true",
                     help="print the path of each image of a kernel's modules")
    for verb in ("kernels", "devices"):
        sub = commands.add_parser(verb, allow_abbrev=False)
        sub.add_argument("--arch", default=None if verb == "kernels" else "x86_64")
        if verb == "kernels":
            sub.add_argument("--refresh", action="store_true", help="ask the mirror again")
    return top


def prepare(args):
    """Fill the cache and build all that a run needs."""
    for name in args.arch or ["x86_64"]:
        arch = arches.find(name)
        qemu.shim(arch)
        dext.build()
        image.prepare(arch)
        for each in args.kernel or ["6.1"]:
            wanted = kernel.find(each, arch)
            folder = kernel.prepare(wanted, arch)
            module.build(wanted, arch)
            if args.print_modules:
                print(os.path.join(folder, "modules.ext4"))
    return 0


def list_kernels(args):
    """Print the kernels that --kernel can name."""
    chosen = [arches.find(args.arch)] if args.arch else list(arches.ARCHES.values())
    max_age = 0 if args.refresh else kernel.DAY

    def listed(arch):
        return kernel.every(arch, max_age) + kernel.built_here(arch)

    print(f"{'NAME':10} {'ARCH':8} {'VERSION':20} {'RELEASE':30} {'SUITE':18} CACHED")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for found in pool.map(listed, chosen):
            for each in found:
                print(f"{each.name:10} {each.arch:8} {each.version:20} {each.release:30} "
                      f"{each.suite:18} {'yes' if each.cached else 'no'}")
    return 0


def list_devices(args):
    """Print the PCI models that --device can name."""
    for name, about, good in device.Models(arches.find(args.arch)).listed():
        print(f"{name:32} {'known good' if good else '':12} {about}".rstrip())
    return 0


def check(args, command):
    """Check all arguments before anything slow starts; what they mean."""
    if not command:
        raise UsageError("no COMMAND: end the options with '-- COMMAND [ARG...]'")
    arch = otherqemu.find(arches.find(args.arch), args.qemu_suite)
    models = device.Models(arch) if args.device else None
    if len(args.device) > device.MAX_DEVICES:
        raise UsageError(f"{len(args.device)} devices; at most {device.MAX_DEVICES} fit")
    if args.hotplug and len(args.device) > qemu.MAX_PAIRS:
        raise UsageError(f"{len(args.device)} devices; at most {qemu.MAX_PAIRS} fit with --hotplug")
    for number, spec in enumerate(args.device):
        device.arguments(spec, number, models)
    dext.check(args.dext_device)
    options = host.guarded(host.parse(args.host, len(args.device), len(args.dext_device)))
    raw = qemu.raw(args.qemu)
    pushes = [image.guest_path(push) for push in args.push]
    mem = qemu.memory(args.mem, host.size)
    for path in filter(None, (args.stats, args.console)):
        if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            raise UsageError(f"the folder of '{path}' does not exist")
    return arch, models, options, raw, pushes, mem


def _enforce(arch, args, options):
    """What to set on the DARTs when the guest says hello; fills in OPTIONS."""
    later = {}
    for number, each in enumerate(options):
        if "enforce" in each["dart"]:
            continue
        if arch.name == "arm64":
            each["dart"]["enforce"] = "on"
        elif args.no_module:
            later[f"dart{number}"] = "on"
    return later


def _config(args, interactive):
    rows, columns = window()
    values = {
        "with_module": "" if args.no_module else "1",
        "module_params": args.module,
        "devices": " ".join(f"{spec.split(',')[0]}#{number}"
                            for number, spec in enumerate(args.device + args.dext_device)),
        "places": " ".join([f"0000:00:{qemu.FIRST_PORT + number:02x}.0/"
                            for number in range(len(args.device))] +
                           dext.places(args.dext_device)),
        "device_deadline": 0 if args.no_module or args.no_wait else int(max(60, args.timeout / 10)),
        "interactive": "1" if interactive else "",
        "rows": rows, "columns": columns,
        "now": int(time.time()),
    }
    lines = [f"{key}={shlex.quote(str(value))}" for key, value in values.items()]
    if interactive:
        lines.append(f"export TERM={shlex.quote(os.environ.get('TERM', 'vt220'))}")
    return "\n".join(lines) + "\n"


def _run_disk(args, command, pushes, module_path, interactive, initrd, path):
    disk = image.RunDisk(path)
    disk.push(initrd, "/boot/initrd.img")       # for kexec
    disk.data("etc/testbed/config", _config(args, interactive).encode())
    disk.data("etc/testbed/command", image.command_script(command).encode(), 0o755)
    if len(command) == 1 and command[0] in SHELLS and not sys.stdin.isatty():
        disk.data("etc/testbed/stdin", sys.stdin.buffer.read())
    if module_path:
        disk.push(module_path, "/root/apple_dma.ko")
    for source, target in pushes:
        disk.push(source, target)
    disk.close()


def _parts(args, arch):
    """What the run needs from the cache: kernel, guest, module, shim; made in parallel."""
    wanted = kernel.find(args.kernel, arch)
    some = args.device or args.dext_device
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        boot = pool.submit(kernel.prepare, wanted, arch)
        guest = pool.submit(image.prepare, arch)
        built = None
        if some or not args.no_module:
            built = pool.submit(module.build, wanted, arch)
        preload = pool.submit(qemu.shim, arch) if some else None
        return (boot.result(), guest.result(), built.result() if built else None,
                preload.result() if preload else None, wanted.append)


def _unknown_faults(args, stats):
    """Whether the faults of a device are not known but should be; says which."""
    bad = False
    for name, each in stats.items():
        if each.get("faults") is not None:
            continue
        excuse = ("the run ended its extension" if each.get("killed") else
                  "faults are allowed" if args.allow_faults else "")
        text = f"nobody has counted the faults of the device of {name} to the end"
        warn(f"note: {text}; {excuse}" if excuse else text)
        bad = bad or not excuse
    return bad


def _panics(stats):
    """Whether a map would have taken a Mac down; says which was the first of each device."""
    found = {name: each for name, each in stats.items() if each.get("panics")}
    for name, each in found.items():
        first = each["panic"]
        warn(f"host panic: the map of {first['size']} bytes at {first['gpa']:#x}, with which there "
             f"are {first['bytes']} bytes in {first['entries']} mappings, of {name} would have "
             f"taken a Mac down; {each['panics']} such map(s)")
    return bool(found)


def _verdict(session, args, folder, stats):
    """The exit status of a run that went through, with a line saying why."""
    status = EXIT_TESTBED if _unknown_faults(args, stats) else session.status
    for name, each in stats.items():
        if each.get("faults") and not args.allow_faults:
            warn(f"DART fault: {each['faults']} refused access(es) of the device of {name}")
            log = os.path.join(folder, name.replace("companion", "dart") + ".faults")
            if os.path.exists(log):
                with open(log, encoding="utf-8", errors="replace") as file:
                    for _, line in zip(range(3), file):
                        detail(line.rstrip())
            status = EXIT_FAULT
    if _panics(stats):
        status = EXIT_PANIC
    if session.console.reports:
        status = EXIT_REPORT
    return status


def _reports(session):
    for report in session.console.reports[:5]:
        warn(f"kernel report: {report}")
    more = len(session.console.reports) - 5
    if more > 0:
        warn(f"kernel report: and {more} more")


def _counts(folder, name):
    """What QEMU wrote about NAME when it ended, or None."""
    try:
        with open(os.path.join(folder, f"{name}.json"), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def _statistics(session, names, folder, dextd):
    """The final counts of each companion, from the files QEMU and dextd leave.

    The faults are those that the DART has counted to the end, as a companion that is
    pulled out does not see all of them. None when they are not known.
    """
    found = {}
    devices = dextd.finish() if dextd else []
    for name in names:
        found[name] = _counts(folder, name) or dict(session.at_exit.get(name, {}))
        if name.startswith("dext"):
            found[name] = dext.merge(found[name], devices[int(name[4:])],
                                     session.firmware_faults.get(name, 0))
            if dextd.killed:
                found[name]["killed"] = True
        else:
            dart = _counts(folder, name.replace("companion", "dart")) or {}
            found[name].update({key: dart.get(key) for key in DART_COUNTS})
            found[name].update({key: dart[key] for key in SHARED_COUNTS if key in dart})
        if session.at_exit.get(name, {}).get("gone"):
            found[name]["gone"] = True
        if name in session.at_exit:
            found[name]["at_command_end"] = session.at_exit[name]
    return found


def _boot(args, arch, parts, wiring, folder, initrd, run_disk):
    """QEMU's command line without the channels: (before them, after them)."""
    boot, guest, append = parts["boot"], parts["guest"], parts["append"]
    kernel_line = " ".join(filter(None, (
        arch.append, tsc.append(arch, args.icount), "loglevel=7 panic=0 watchdog_thresh=30",
        append, args.append)))
    before = qemu.base(arch, args, parts["mem"]) + [
        "-kernel", os.path.join(boot, "vmlinuz"), "-initrd", initrd, "-append", kernel_line,
    ] + qemu.disks([os.path.join(guest, "root.ext4"), os.path.join(boot, "modules.ext4"),
                    run_disk])
    return before, wiring + parts["raw"]


def _follow(session, interactive):
    """Follow the guest to its end; the TestbedError that ended it, or None."""
    try:
        if interactive:
            with session.terminal():
                session.run()
        else:
            session.run()
    except TestbedError as error:
        return error
    return None


def _spoiled(session):
    """Whether QEMU made the kernel crash or hang, before any code of ours ran.

    The kernel replaces code behind a breakpoint. Under multi-threaded TCG a CPU may
    run into the breakpoint after another CPU has removed it. And in one of some
    thousand boots a CPU that sleeps never hears of its timer.
    """
    return session.stuck or (not session.booted and any(
        "Oops: int3" in report for report in session.console.reports))


def _attempt(args, command, arch, parts, interactive):
    """Run the guest once: its exit status, or None when it is worth another try."""
    options = parts["options"]
    local, remote = options[:len(args.device)], options[len(args.device):]
    folder = tempfile.mkdtemp(prefix="apple-dma-testbed.")
    vm = dextd = None
    try:
        run_disk, initrd = os.path.join(folder, "run.tar"), os.path.join(folder, "initramfs")
        image.initramfs(parts["boot"], parts["guest"], initrd)
        _run_disk(args, command, parts["pushes"], parts["module"], interactive, initrd, run_disk)
        wiring = qemu.wiring(args.device, local, parts["models"], folder, args.hotplug)
        environment = {"LD_PRELOAD": parts["preload"]} if parts["preload"] else {}
        if remote:
            dextd = dext.Dextd(dext.build(), args.dext_device, remote, folder)
            # First: their slots are fixed; the other devices get the slots that are left.
            wiring = dext.wiring(args.dext_device, remote, folder) + wiring
            environment["APPLE_DEXT_SOCKET"] = dextd.socket
        vm = qemu.Qemu(*_boot(args, arch, parts, wiring, folder, initrd, run_disk), folder,
                       environment, interactive)
        if args.verbose:
            warn(shlex.join(vm.argv))
        names = [f"companion{number}" for number in range(len(args.device))]
        session = Session(vm, names, args, parts["enforce"], dextd)
        failure = _follow(session, interactive)
        if failure:
            vm.stop()
            session.console.finish()
        if failure and _spoiled(session):
            return None
        names += [f"dext{number}" for number in range(len(remote))]
        stats = _statistics(session, names, folder, dextd)
        if not failure and dextd and dextd.problem():
            failure = TestbedError(dextd.problem())
        if args.stats:
            with open(args.stats, "w", encoding="utf-8") as file:
                json.dump(stats, file, indent=1)
                file.write("\n")
        _reports(session)
        if failure:
            _panics(stats)
            warn(failure)
            failure_details(vm, session.console)
            return EXIT_REPORT if session.console.reports else failure.status
        return _verdict(session, args, folder, stats)
    finally:
        if vm:
            vm.close()
            if args.console:
                qemu.keep_console(vm.console, args.console)
        if dextd:
            dextd.close()
        shutil.rmtree(folder, ignore_errors=True)


def run(args, command):
    """Run COMMAND in a guest; the exit status."""
    arch, models, options, raw, pushes, mem = check(args, command)
    boot, guest, module_path, preload, append = _parts(args, arch)
    interactive = (command[0] in SHELLS and len(command) == 1 and
                   sys.stdin.isatty() and sys.stdout.isatty())
    if interactive and args.timeout == 300.0:
        args.timeout = 24 * 3600.0
    parts = {"boot": boot, "guest": guest, "module": module_path, "preload": preload,
             "append": append, "models": models, "options": options, "raw": raw,
             "pushes": pushes, "mem": mem,
             "enforce": _enforce(arch, args, options[:len(args.device)])}
    for attempt in range(TRIES):
        if attempt:
            warn(f"{SPOILED}: QEMU's doing, once more")
            tried_again(SPOILED)
        status = _attempt(args, command, arch, parts, interactive)
        if status is not None:
            return status
    raise TestbedError(f"the guest's kernel did not get up in {TRIES} tries")


def _terminate(_signal, _frame):
    raise KeyboardInterrupt


def main(argv):
    """The entry point; returns the exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    command = []
    if "--" in argv:
        argv, command = argv[:argv.index("--")], argv[argv.index("--") + 1:]
    with reported("testbed"):
        top = parser()
        args = top.parse_args(argv)
        if args.verb is None:
            top.print_help()
            return 2
        if args.verb == "prepare":
            return prepare(args)
        if args.verb == "kernels":
            return list_kernels(args)
        if args.verb == "devices":
            return list_devices(args)
        return run(args, command)
    return 0
