# SPDX-License-Identifier: GPL-2.0
"""What can go wrong, and the exit status each kind of it has."""

import argparse
import contextlib
import errno
import os
import select
import signal
import subprocess
import sys
import tempfile

EXIT_USAGE = 2
EXIT_PANIC = 96
EXIT_REPORT = 97
EXIT_FAULT = 98
EXIT_TESTBED = 99


class TestbedError(Exception):
    """A failure of the testbed itself; the text is for the user."""

    status = EXIT_TESTBED


class UsageError(TestbedError):
    """A wrong argument; the text names what is allowed."""

    status = EXIT_USAGE


class Parser(argparse.ArgumentParser):
    """argparse, with its errors as UsageErrors."""

    def error(self, message):
        raise UsageError(f"{message}; see scripts/{self.prog.split()[0]} --help")


def detail(text):
    """Print an indented line on stderr; a reader that is gone is no failure."""
    with contextlib.suppress(BrokenPipeError):
        print(f"  {text}", file=sys.stderr, flush=True)


def warn(text, name="testbed"):
    """Print one line on stderr; a reader that is gone is no failure."""
    with contextlib.suppress(BrokenPipeError):
        print(f"{name}: {text}", file=sys.stderr, flush=True)


def tried_again(why):
    """Tell scripts/check that a guest is booted again; it counts these.

    $APPLE_DMA_TRIED_AGAIN names the file for it.
    """
    path = os.environ.get("APPLE_DMA_TRIED_AGAIN")
    if path:
        # Such as scripts/tests/test_x.py::test_y (call).
        source, colons, case = os.environ.get("PYTEST_CURRENT_TEST", "a guest").partition("::")
        name = os.path.splitext(os.path.basename(source))[0] + colons + case.rpartition(" (")[0]
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{name}\t{' '.join(why.split())}\n")


def _unread():
    """Whether nobody can read standard output any more."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


@contextlib.contextmanager
def reader_may_go():
    """End the block without a traceback when the reader of the output goes, as `head` does."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _unread():       # another pipe or socket
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


@contextlib.contextmanager
def reported(name):
    """Turn every expected failure of the block into a line and SystemExit."""
    with reader_may_go(), _failures_reported(name):
        yield


@contextlib.contextmanager
def _failures_reported(name):
    try:
        yield
    except TestbedError as error:
        warn(error, name)
        raise SystemExit(error.status) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
            raise
        if error.errno == errno.ENOMEM:
            warn("not enough memory on this machine", name)
        else:
            warn(f"no space on disk: {error.filename or tempfile.gettempdir()} is full", name)
        raise SystemExit(EXIT_TESTBED) from None
    except subprocess.CalledProcessError as error:
        warn(f"'{error.cmd}' failed with status {error.returncode}", name)
        raise SystemExit(EXIT_TESTBED) from None
    except KeyboardInterrupt:
        warn("interrupted", name)
        raise SystemExit(130) from None


def allowed(what, given, names):
    """The UsageError for a name that is not among NAMES."""
    return UsageError(f"unknown {what} '{given}'; allowed: {', '.join(names)}")
