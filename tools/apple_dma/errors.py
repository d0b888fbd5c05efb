# SPDX-License-Identifier: GPL-2.0
"""Errors that a user can correct: what is wrong, and what to do."""


class ToolError(Exception):
    """An error that ends the command with one line, and a second one with what to do."""

    def __init__(self, what, cure=None):
        super().__init__(what)
        self.what = what
        self.cure = cure

    def lines(self):
        """What is printed."""
        text = f"apple-dma: {self.what}"
        return f"{text}\n  {self.cure}" if self.cure else text


class NeedsRoot(ToolError):
    """A file that only root may read or write."""

    def __init__(self, path):
        super().__init__(f"no permission for {path}", "run it as root: sudo apple-dma ...")
        self.path = path
