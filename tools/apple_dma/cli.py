# SPDX-License-Identifier: GPL-2.0
"""The command line."""

import argparse
import os
import signal
import sys

from . import doctor, report, status, top, version
from .errors import ToolError
from .root import Root
from .terminal import Terminal


def seconds(text):
    """A time of the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds from 0 to 86400")
    return value


def times(text):
    """How many times."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of 1 or more")
    return int(text)


def add_json(how):
    """--json"""
    how.add_argument("--json", action="store_true",
                     help="for programs; the keys are in apple-dma(8)")


def add_status(commands):
    """status"""
    parser = commands.add_parser(
        "status", help="a table of the devices", description="Prints a table of the devices. The "
        "exit status is 1 if one of them has a problem.")
    how = parser.add_mutually_exclusive_group()
    add_json(how)
    how.add_argument("--prometheus", action="store_true",
                     help="for Prometheus: a file for node_exporter's textfile collector")
    parser.add_argument("--interval", type=seconds, default=1.0, metavar="S",
                        help="seconds between two samples; rates, and failures now, are what "
                        "changed between them (default 1; 0: one sample)")
    parser.set_defaults(call=status.run)


def add_top(commands):
    """top"""
    parser = commands.add_parser(
        "top", help="what the devices do now", description="Shows what the devices do now, every "
        "second, until q is pressed.")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="print it once; needs no terminal")
    how.add_argument("--batch", type=times, metavar="N", help="print it N times; needs no terminal")
    parser.add_argument("--interval", type=seconds, default=1.0, metavar="S",
                        help="seconds between two updates (default 1)")
    parser.set_defaults(call=top.run)


def add_doctor(commands):
    """doctor"""
    parser = commands.add_parser(
        "doctor", help="what is wrong, and what to do",
        description="Checks one thing after another, and says what to do. The exit status is 1 "
        "if something must be fixed.")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--verbose", action="store_true",
                     help="show the checks that passed, too, each in a line of its own")
    add_json(how)
    parser.set_defaults(call=doctor.run)


def add_report(commands):
    """report"""
    parser = commands.add_parser(
        "report", help="record for a while, and write a page with plots", description="Records "
        "counters and tracepoints for a while, and writes one self-contained HTML file. "
        "Without root it has the counters only.")
    parser.add_argument("--seconds", type=seconds, default=10.0, metavar="N",
                        help="how long to record (default 10); ^C ends it early")
    parser.add_argument("-o", "--output", metavar="FILE",
                        help="the file; - is standard output (default: apple-dma-report-DATE.html "
                        "in the current folder)")
    parser.set_defaults(call=report.run)


def build_parser():
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="apple-dma", description="See what the apple_dma module does, and why something "
        "does not work.", epilog="The manual: man apple-dma, man apple_dma")
    parser.add_argument("--version", action="version", version=f"apple-dma {version()}")
    parser.add_argument("--root", default=os.environ.get("APPLE_DMA_ROOT") or "/",
                        help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (add_status, add_top, add_doctor, add_report):
        add(commands)
    return parser


def main(argv=None):
    """Run the command line; returns the exit status: 2 for what could not be done."""
    args = build_parser().parse_args(argv)
    term = Terminal(sys.stdout)
    try:
        result = args.call(Root(args.root), term, args)
        sys.stdout.flush()
        return result
    except ToolError as error:
        sys.stdout.flush()
        print(Terminal(sys.stderr).plain("\n".join(error.lines().splitlines())), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
