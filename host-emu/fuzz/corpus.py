#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Keep inputs of a fuzzing target in one text file: a line of hex for each.

corpus.py unpack FILE FOLDER   a file in FOLDER for each line
corpus.py pack FILE FOLDER     the lines of FILE from what is in FOLDER
"""

import sys
from pathlib import Path

HEAD = "# SPDX-License-Identifier: GPL-2.0\n# Inputs of a fuzzing target; see corpus.py.\n"
MOST = 64 * 1024    # characters; a corpus to keep is small


def unpack(file, folder):
    """Write each input to a file of its own."""
    folder.mkdir(parents=True)
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    for number, line in enumerate(lines):
        (folder / f"kept-{number:04}").write_bytes(bytes.fromhex(line))


def pack(file, folder):
    """Keep the shortest inputs, as many as there is room for."""
    inputs = sorted({path.read_bytes() for path in folder.iterdir()}, key=lambda i: (len(i), i))
    text = HEAD
    for data in inputs:
        if data and len(text) + 2 * len(data) < MOST:
            text += data.hex() + "\n"
    file.write_text(text)


def main():
    """Do what the command line says."""
    if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
        sys.exit(__doc__)
    {"pack": pack, "unpack": unpack}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))


if __name__ == "__main__":
    main()
