# SPDX-License-Identifier: GPL-2.0
"""The command apple-dma, in parts: Python 3.9 and its standard library, nothing else."""

import os
import re

DRIVER = "apple_dma"
COMPANION_ID = ("0x1b36", "0x0015")


def version():
    """The version in dkms.conf; an installed command has a copy of that line."""
    top = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    for path in (os.path.join(top, "VERSION"), os.path.join(os.path.dirname(top), "dkms.conf")):
        try:
            with open(path, encoding="utf-8") as file:
                found = re.search(r'^PACKAGE_VERSION="(.*)"$', file.read(), re.M)
        except OSError:
            continue
        if found:
            return found[1]
    return "unknown"
