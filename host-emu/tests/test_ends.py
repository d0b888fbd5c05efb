# SPDX-License-Identifier: GPL-2.0
"""A bad end of QEMU or dextd is a failure: the other tests rely on it."""

import os
import signal

import pytest

import qtest


def test_a_qemu_that_ends_with_a_signal_is_a_failure(start):
    host = start()
    os.kill(host.pid(), signal.SIGSEGV)
    with pytest.raises(AssertionError, match="QEMU ended with -11|AddressSanitizer: SEGV"):
        host.close()


def test_a_qemu_that_dies_under_a_test_has_not_merely_refused(start):
    host = start()
    os.kill(host.pid(), signal.SIGSEGV)
    with pytest.raises(AssertionError, match="QEMU ended with -11|AddressSanitizer: SEGV"):
        while True:
            host.reg("VERSION")
    with pytest.raises(AssertionError):
        host.close()


@pytest.mark.parametrize("said", [
    "x.c:1:2: runtime error: index 4 out of bounds for type 'uint32_t [4]'",
    "==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1"])
def test_a_report_of_a_sanitizer_is_a_failure_whatever_the_status(said):
    with pytest.raises(AssertionError, match="index 4|heap-buffer-overflow"):
        qtest.check_end("dextd", 0, (0,), said)


def test_the_shim_has_asan_when_it_is_asked_for(start):
    with open(f"/proc/{start().pid()}/maps", encoding="utf-8") as maps:
        assert ("libasan" in maps.read()) == bool(os.environ.get("SANITIZE"))
