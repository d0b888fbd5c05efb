# SPDX-License-Identifier: GPL-2.0
"""The fenced blocks of README and Documentation/, and the mark of each."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

# The marks of blocks of commands; Documentation/contributing.md explains them.
KINDS = {"run", "full", "guest", "ci", "debian", "tools", "mac", "hand"}

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<text>.*?)^ *```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language, its mark, its text."""

    file: str
    line: int
    language: str
    kind: str
    text: str

    def __str__(self):
        return f"{Path(self.file).stem}:{self.line}"

    def commands(self):
        """Its command lines, continued ones put together, comments left out."""
        joined = self.text.replace("\\\n", " ")
        lines = (re.sub(r"(^|\s)#\s.*", "", line).strip() for line in joined.splitlines())
        return [line for line in lines if line]


def blocks(top):
    """Every fenced block of the documentation below TOP."""
    found = []
    for path in [top / "README.md", *sorted((top / "Documentation").glob("*.md"))]:
        text = path.read_text()
        for match in FENCE.finditer(text):
            language, _, kind = match["info"].strip().partition(" ")
            found.append(Block(str(path.relative_to(top)), text.count("\n", 0, match.start()) + 1,
                               language, kind, textwrap.dedent(match["text"])))
    return found


def anchors(path):
    """What a link may point to in a page."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", head.replace("`", "")).strip().lower().replace(" ", "-")
            for head in heads}


def dead_links(top):
    """The links between the pages in TOP and in its Documentation/ that lead nowhere."""
    dead = []
    for path in [*sorted(top.glob("*.md")), *sorted((top / "Documentation").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            to = path.parent / name if name else path
            if not to.exists() or anchor and anchor not in anchors(to):
                dead.append(f"{path.name}: {target}")
    return dead
