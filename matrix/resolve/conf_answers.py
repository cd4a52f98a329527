"""What Kconfig's macros ask the tools, asked once for all the configurations of a lane.

Most of the time that conf takes goes into the hundred commands of these macros, which start the compiler.
They see no configuration: conf runs them before it reads one. So each has one answer for a tree, an image and
the make variables. `conf_answers.c`, preloaded into a make, keeps it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matrix.foreign_files import ForeignDirectory, ForeignFileError
from matrix.foreign_trees import remove_tree
from matrix.fs import replace_file, translate_disk_full

CONF_ANSWERS = Path(__file__).with_name("conf_answers.c")
_ANSWERS = ".conf-answers"
_ANSWERS_LIMIT = 4 * 2**20


@dataclass
class ConfAnswers:
    """The answers to one kind of make in one lane. They end with its run: another tree may give others."""

    _known: bytes | None = None

    @contextmanager
    def lend(self, build: Path) -> Iterator[None]:
        """Let a make in this build directory, which preloads `CONF_ANSWERS`, use them and add to them."""
        path = build / _ANSWERS
        remove_tree(path)
        if self._known is not None:
            with translate_disk_full(path):
                replace_file(path, self._known)
                path.chmod(0o666)  # the container's user adds to it
        try:
            yield
            self._known = _read_answers(build) or self._known
        finally:
            remove_tree(path)


def _read_answers(build: Path) -> bytes | None:
    try:
        return ForeignDirectory(build).read_bytes(_ANSWERS, _ANSWERS_LIMIT)
    except ForeignFileError:
        return None
