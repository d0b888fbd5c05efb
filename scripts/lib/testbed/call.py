# SPDX-License-Identifier: GPL-2.0
"""scripts/testbed run, as the other scripts and the tests call it."""

import os
import subprocess
import threading

from . import cache
from .errors import TestbedError

TESTBED = os.path.join(cache.SCRIPTS, "testbed")


def words(command, **options):
    """The command line that runs COMMAND, a list of words, in a guest.

    OPTIONS are those of the testbed: a list for one that is repeated, True for one that
    has no value. An empty one is left out.
    """
    made = [TESTBED, "run"]
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            made.append(option)
        elif isinstance(value, (list, tuple)):
            for each in value:
                made += [option, str(each)]
        elif value:
            made += [option, str(value)]
    return [*made, "--", *command]


def run(argv, **options):
    """subprocess.run() of the command line ARGV, with all that it prints."""
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", check=False, **options)


class Calls:
    """run() in several threads, which one of them can end."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = set()
        self._closed = False

    def run(self, argv):
        """Like run(); a TestbedError after stop()."""
        with self._lock:
            if self._closed:
                raise TestbedError("interrupted")
            process = subprocess.Popen(  # pylint: disable=consider-using-with
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, errors="replace")
            self._running.add(process)
        try:
            out, err = process.communicate()
        finally:
            with self._lock:
                self._running.discard(process)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def stop(self):
        """End those that run, and begin no other."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.terminate()
