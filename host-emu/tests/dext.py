# SPDX-License-Identifier: GPL-2.0
"""dextd, a user client of it, and a machine with vfio-apple-pci."""

import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import qtest
from host import Host

DEADLINE = 30
DEVICE = 5 << 3         # of vfio-apple-pci
COMPANION = 6 << 3

GET_IDENTITY, CONFIG_READ, CONFIG_WRITE, MMIO_READ, MMIO_WRITE = 0, 8, 9, 11, 12
CHECK_INTERRUPT, WAIT_INTERRUPT, SET_IRQ_MASK = 14, 15, 16


def wait_for(condition):
    """Until it is true."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


class Dextd:
    """One dextd; a context manager that reaps it."""

    def __init__(self, program, folder, *devices):
        self.socket = os.path.join(folder, "dextd")
        self._stats = os.path.join(folder, "stats")
        self._log = os.path.join(folder, "dextd.log")
        self._ends = 0
        with open(self._log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([program, "--socket", self.socket, "--stats",
                                             self._stats,
                                             *(f"--device={device}"
                                               for device in devices or ["dma-engine"])],
                                            stderr=log)
        end = time.monotonic() + DEADLINE
        while not os.path.exists(self.socket):
            assert self.process.poll() is None and time.monotonic() < end, "no dextd"
            time.sleep(0.01)

    def stats(self):
        """The counts of its first device up to now."""
        return self.all_stats()[0]

    def all_stats(self):
        """The counts of its devices up to now."""
        if os.path.exists(self._stats):
            os.unlink(self._stats)
        self.process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + DEADLINE
        while not os.path.exists(self._stats):
            assert time.monotonic() < end, "dextd wrote no statistics"
            time.sleep(0.01)
        with open(self._stats, encoding="utf-8") as file:
            return json.load(file)["devices"]

    def kill(self):
        self._ends = -signal.SIGKILL
        self.process.kill()
        self.process.wait()

    def close(self):
        """End it, and check how it ended."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE)
        with open(self._log, encoding="utf-8") as log:
            qtest.check_end("dextd", self.process.returncode, (self._ends,), log.read())


class Client:
    """One more user client, by the protocol of host-emu/proto/protocol.h."""

    HEADER = struct.Struct("=IHHII")
    CALL = struct.Struct("=IIIIQ")
    RESULT = struct.Struct("=II")
    OPEN_TYPE, CALL_TYPE, REPLY_TYPE = 2, 3, 0x83

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(path)
        status, _ = self.RESULT.unpack(self._ask(self.OPEN_TYPE, self.RESULT.pack(0, 0)))
        assert status == 0

    def _ask(self, kind, payload):
        self._socket.send(self.HEADER.pack(0x54584441, 1, kind, len(payload), 1) + payload)
        return self._socket.recv(4096)[self.HEADER.size:]

    def call(self, selector, *inputs, outputs=0):
        """(IOReturn, outputs) of a selector."""
        payload = self.CALL.pack(selector, 0, len(inputs), outputs, 0)
        answer = self._ask(self.CALL_TYPE, payload + struct.pack(f"={len(inputs)}Q", *inputs))
        status, count = self.RESULT.unpack_from(answer)
        return status, struct.unpack_from(f"={count}Q", answer, self.RESULT.size)

    def config(self, offset, width=4):
        """The configuration space of the device itself."""
        return self.call(CONFIG_READ, offset, width, outputs=1)[1][0]

    def mmio(self, index, offset, width=4):
        """The same of a BAR."""
        return self.call(MMIO_READ, index, offset, width, outputs=1)[1][0]

    def close(self):
        self._socket.close()


class Proxy:
    """A proxy between a machine and dextd, which can refuse and change calls.

    REFUSE(selector, inputs) returns the IOReturn of a call that dextd must not see,
    or None. ANSWER(selector, inputs, outputs) returns the outputs of one that it saw.
    It cannot reach the memory of the machine: nothing can be registered through it.
    """

    def __init__(self, folder, dextd, refuse=None, answer=None):
        self.socket = os.path.join(folder, "proxy")
        self._refuse = refuse or (lambda selector, inputs: None)
        self._answer = answer or (lambda selector, inputs, outputs: outputs)
        self._dextd = dextd.socket
        self._sockets = [self._new()]
        self._sockets[0].bind(self.socket)
        self._sockets[0].listen()
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def _new():
        return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def _accept(self):
        while True:
            try:
                machine, _ = self._sockets[0].accept()
            except OSError:
                return
            dextd = self._new()
            dextd.connect(self._dextd)
            self._sockets += [machine, dextd]
            calls = {}
            for source, target, change in ((machine, dextd, self._request),
                                           (dextd, machine, self._reply)):
                threading.Thread(target=self._pass, args=(source, target, change, calls),
                                 daemon=True).start()

    def _pass(self, source, target, change, calls):
        """One direction of a connection, until it ends."""
        try:
            while True:
                data, fds, _, _ = socket.recv_fds(source, 4096, 1)
                if not data:
                    break
                to, data = change(source, target, data, calls)
                socket.send_fds(to, [data], fds)
                for fd in fds:
                    os.close(fd)
        except OSError:
            pass
        for each in (source, target):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _request(self, source, target, data, calls):
        _, _, kind, _, number = Client.HEADER.unpack_from(data)
        if kind != Client.CALL_TYPE:
            return target, data
        at = Client.HEADER.size
        selector, _, count, _, _ = Client.CALL.unpack_from(data, at)
        inputs = struct.unpack_from(f"={count}Q", data, at + Client.CALL.size)
        status = self._refuse(selector, inputs)
        if status is None:
            calls[number] = selector, inputs
            return target, data
        return source, self._result(number, status, ())

    def _reply(self, _source, target, data, calls):
        _, _, kind, _, number = Client.HEADER.unpack_from(data)
        if kind != Client.REPLY_TYPE:
            return target, data
        at = Client.HEADER.size
        status, count = Client.RESULT.unpack_from(data, at)
        outputs = struct.unpack_from(f"={count}Q", data, at + Client.RESULT.size)
        return target, self._result(number, status, self._answer(*calls.pop(number), outputs))

    @staticmethod
    def _result(number, status, outputs):
        payload = Client.RESULT.pack(status, len(outputs)) + struct.pack(f"={len(outputs)}Q",
                                                                         *outputs)
        return Client.HEADER.pack(0x54584441, 1, Client.REPLY_TYPE, len(payload), number) + payload

    def close(self):
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()


class Passthrough(Host):
    """A machine with the device of a dextd, its BARs placed."""

    ENGINE_ID, SCRATCH, RAISE = 0x0, 0x18, 0x1c

    def __init__(self, shim, wire, dextd, options="", arch=qtest.X86, **kwargs):
        self.bar0 = arch.mmio + 0x2000000
        self.bar2 = arch.mmio + 0x4000000
        super().__init__(shim, wire, arch=arch, env=[f"APPLE_DEXT_SOCKET={dextd.socket}"],
                         devices=[f"vfio-apple-pci,id=dext0,bus=pcie.0,addr={DEVICE >> 3:x},"
                                  f"host=01:00.0{options}"], **kwargs)

    def wire_up(self):
        self.enable(COMPANION, self.regs)
        self.config_write(DEVICE, 0x18, self.bar2 & 0xffffffff)
        self.config_write(DEVICE, 0x1c, 0)
        self.enable(DEVICE, self.bar0)

    def stats(self):
        return json.loads(self.get("dext0", "companion-stats"))

    def counts(self):
        """The counts of vfio-apple-pci."""
        return json.loads(self.get("dext0", "stats"))

    def capability(self, wanted):
        """Where a capability is, or None."""
        at = self.config_read(DEVICE, 0x34, 1)
        while at:
            if self.config_read(DEVICE, at, 1) == wanted:
                return at
            at = self.config_read(DEVICE, at + 1, 1)
        return None
