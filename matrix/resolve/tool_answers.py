"""What a make asks of its tools, asked once for all the configurations of a lane.

Half of the time that make takes to prepare another configuration goes into questions: the hundred commands of
Kconfig's macros, and the fifty trials of compiler options in the Makefiles, at every start of make. Neither
sees the configuration, so each has one answer for a tree, an image and the make variables. `tool_answers.c`,
preloaded into a make, keeps it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_trees import remove_tree

TOOL_ANSWERS = Path(__file__).with_name("tool_answers.c")
_ANSWERS = ".tool-answers"
_ANSWERS_LIMIT = 4 * 2**20


@dataclass
class ToolAnswers:
    """The answers in one lane. They end with its run: another tree may give others."""

    _known: bytes = b""

    @contextmanager
    def lend(self, build: Path) -> Iterator[None]:
        """Let a make in this build directory, which preloads `TOOL_ANSWERS`, use them and add to them."""
        files, status = ForeignDirectory(build), build.stat()
        remove_tree(build / _ANSWERS)
        # It is the container's user who adds to it. Without the file, make asks all anew.
        with suppress(ForeignFileError):
            files.write_file(_ANSWERS, self._known, (status.st_uid, status.st_gid))
        try:
            yield
            with suppress(ForeignFileError):
                self._known = files.read_bytes(_ANSWERS, _ANSWERS_LIMIT) or self._known
        finally:
            remove_tree(build / _ANSWERS)
