# SPDX-License-Identifier: GPL-2.0
"""The examples of Documentation/protocol.md, run as they stand there."""

import re
import struct
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "Documentation" / "protocol.md"


def test_examples_of_the_protocol(start):
    text = PAGE.read_text()
    host = start(layout="rfc", program=False)
    names = {"host": host, "struct": struct, "BAR": host.regs, "PAGE": host.cmd,
             "REQ": host.req, "RESP": host.resp, "DATA": host.data}
    found = list(re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S))
    assert len(found) >= 4
    for block in found:
        # So that a failure names the line of the page.
        above = "\n" * (text.count("\n", 0, block.start()) + 1)
        exec(compile(above + block[1], str(PAGE), "exec"), names)
