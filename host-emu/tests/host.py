# SPDX-License-Identifier: GPL-2.0
"""The guest's side of the protocol: a companion, a DART and edu behind it."""

import json
import time

import qtest

COMPANION = 3 << 3
PORT = 4 << 3
BUS = 1

PREFILL = 0xA5


class Wire:
    """The wire format, as include/uapi/linux/apple_dma.h has it."""

    def __init__(self, spec):
        self._spec = spec
        for name, value in spec.items():
            if isinstance(value, int):
                setattr(self, name, value)

    def size(self, struct):
        return self._spec[struct]["size"]

    def offset(self, struct, field):
        return self._spec[struct]["fields"][field][0]

    def pack(self, struct, **values):
        data = bytearray(self.size(struct))
        for field, value in values.items():
            offset, size = self._spec[struct]["fields"][field]
            data[offset:offset + size] = value.to_bytes(size, "little")
        return bytes(data)

    def unpack(self, struct, data):
        return {field: int.from_bytes(data[offset:offset + size], "little")
                for field, (offset, size) in self._spec[struct]["fields"].items()}


class Batch:
    """The result of one doorbell: status and responses."""

    def __init__(self, status, page_status, raw, entries):
        self.status = status            # the STATUS register
        self.page_status = page_status  # of the command page
        self.raw = raw                  # each response, as bytes
        self.entries = entries          # each response, decoded


class Host(qtest.Qemu):
    """A machine with the companion programmed, unless program=False."""

    def __init__(self, shim, wire, arch=qtest.X86, layout="rfc", dart="", companion="",
                 edu="dma_mask=0xffffffffffffffff", program=True, devices=None, **kwargs):
        self.wire = wire
        self.layout = layout
        devices = devices or [f"pcie-root-port,id=rp0,chassis=1,addr={PORT >> 3:x}",
                   "apple-dart,id=dart0,port=rp0" + (dart and "," + dart),
                   "edu,bus=rp0" + (edu and "," + edu),
                   f"apple-dma-pci,id=companion0,dart=dart0,addr={COMPANION >> 3:x},layout={layout}"
                   + (companion and "," + companion)]
        super().__init__(shim, arch=arch, devices=devices, **kwargs)
        base = arch.ram + 0x1000000
        self.cmd, self.req, self.resp = base, base + 0x100000, base + 0x200000
        self.data = base + 0x400000
        self.regs = arch.mmio + 0x1000000
        self.edu = arch.mmio + 0x2000000
        try:
            self.wire_up()
            if program:
                self.program()
        except BaseException:
            self._end()
            raise

    def wire_up(self):
        """What firmware does: bus numbers, windows, BARs."""
        self.enable(COMPANION, self.regs)
        self.enable_port(PORT, BUS, self.edu)
        self.enable(BUS << 8, self.edu)

    def reg(self, name):
        return self.load(self.regs + getattr(self.wire, "REG_" + name))

    def set_reg(self, name, value):
        self.store(self.regs + getattr(self.wire, "REG_" + name), value)

    def program(self, address=None):
        address = self.cmd if address is None else address
        self.set_reg("CMD_GPA_LO", address & 0xffffffff)
        self.set_reg("CMD_GPA_HI", address >> 32)

    def stats(self):
        return json.loads(self.get("companion0", "stats"))

    def struct(self, name):
        return name + ("_wide" if self.layout == "wide" and name.startswith("map") else "")

    def ring(self, kind, requests, count=None, type_=None, req=None, resp=None, prefill=True):
        """One batch of packed requests, with the responses and the status prefilled."""
        wire = self.wire
        struct = self.struct(kind + "_resp")
        size = wire.size(struct)
        if requests:
            self.write(self.req, b"".join(requests))
        if prefill:
            self.fill(self.resp, max(len(requests), 1) * size + 64, PREFILL)
        page = wire.pack("cmd", type=getattr(wire, "CMD_" + kind.upper()) if type_ is None else type_,
                         count=len(requests) if count is None else count, status=0xA5A5A5A5,
                         req_gpa=self.req if req is None else req,
                         resp_gpa=self.resp if resp is None else resp)
        self.write(self.cmd, page)
        self.set_reg("DOORBELL", 1)
        page = wire.unpack("cmd", self.read(self.cmd, wire.size("cmd")))
        data = self.read(self.resp, len(requests) * size) if requests else b""
        raw = [data[i:i + size] for i in range(0, len(data), size)]
        return Batch(self.reg("STATUS"), page["status"], raw,
                     [wire.unpack(struct, entry) for entry in raw])

    def map(self, *ranges, flags=0, **kwargs):
        """Map (gpa, len) ranges in one doorbell."""
        struct = self.struct("map_req")
        return self.ring("map", [self.wire.pack(struct, gpa=gpa, len=size, flags=flags)
                                 for gpa, size in ranges], **kwargs)

    def unmap(self, *ids, **kwargs):
        """Unmap handles in one doorbell."""
        return self.ring("unmap", [self.wire.pack("unmap_req", id=id_) for id_ in ids], **kwargs)

    def mapped(self, gpa, size):
        """Map one range, which must succeed, and return its address."""
        batch = self.map((gpa, size))
        assert batch.status == self.wire.STATUS_OK
        return batch.entries[0]["dma_addr"]

    # edu, as a DMA engine of less than 4096 bytes

    def _edu_dma(self, source, target, size, command):
        self.store(self.edu + 0x80, source, 8)
        self.store(self.edu + 0x88, target, 8)
        self.store(self.edu + 0x90, size, 8)
        self.store(self.edu + 0x98, command, 8)
        end = time.monotonic() + qtest.DEADLINE
        while self.load(self.edu + 0x98, 8) & 1:
            assert time.monotonic() < end, "edu never ended its DMA"

    def edu_reads(self, iova, size):
        """The device reads memory."""
        self._edu_dma(iova, 0x40000, size, 1)

    def edu_writes(self, iova, size):
        """The device writes to memory what it read last."""
        self._edu_dma(0x40000, iova, size, 3)
