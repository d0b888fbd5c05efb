# SPDX-License-Identifier: GPL-2.0
"""A client of QEMU's machine protocol, on a connected socket."""

import json

from .errors import TestbedError


class QmpError(TestbedError):
    """QEMU refused a command."""


class Qmp:
    """Synchronous commands; events that come meanwhile are kept for events()."""

    def __init__(self, sock):
        self._sock = sock
        self._buffer = b""
        self._events = []
        self._sock.settimeout(30)

    def greet(self):
        """Take QEMU's greeting and enter command mode; raises when QEMU is gone."""
        self._message()
        self.command("qmp_capabilities")

    def _message(self):
        while b"\n" not in self._buffer:
            try:
                data = self._sock.recv(65536)
            except TimeoutError:
                raise QmpError("QEMU does not answer on its monitor") from None
            except OSError as error:
                raise QmpError(f"QEMU's monitor: {error.strerror}") from None
            if not data:
                raise QmpError("QEMU closed its monitor")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def command(self, name, **arguments):
        """The value QEMU returns for the command NAME."""
        request = {"execute": name}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value
                                    for key, value in arguments.items()}
        try:
            self._sock.sendall(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise QmpError(f"QEMU's monitor: {error.strerror}") from None
        while True:
            message = self._message()
            if "event" in message:
                self._events.append(message)
            elif "return" in message:
                return message["return"]
            elif "error" in message:
                raise QmpError(message["error"]["desc"])

    def receive(self):
        """Read what has arrived; False when QEMU has closed the monitor."""
        try:
            data = self._sock.recv(65536)
        except OSError:
            return False
        self._buffer += data
        while b"\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\n", 1)
            message = json.loads(line)
            if "event" in message:
                self._events.append(message)
        return bool(data)

    def events(self):
        """The events received since the last call."""
        found, self._events = self._events, []
        return found

    def get(self, device, name):
        """The property NAME of the device with id DEVICE."""
        return self.command("qom-get", path=f"/machine/peripheral/{device}", property=name)

    def set(self, device, name, value):
        """Set the property NAME of the device with id DEVICE."""
        self.command("qom-set", path=f"/machine/peripheral/{device}", property=name,
                     value=value)
