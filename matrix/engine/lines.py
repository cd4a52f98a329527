"""Bytes as an engine gives them, in frames of any length, put together to lines of text."""

import codecs
import io
from collections.abc import Iterator

MAX_OUTPUT_LINE = 64 * 1024
"""Characters of a line that are kept. The rest of a longer one is dropped, and marked as such."""

_CUT_MARK = " [kmatrix: the rest of this line was cut]"


class LineDecoder:
    r"""One stream's lines. Feed it bytes; it gives each line as soon as its end has come.

    Bytes that are no UTF-8 become U+FFFD. ``\n``, ``\r\n`` and ``\r`` all end a line: what a progress
    bar overwrites on a terminal is kept here, since it might be a message.
    """

    def __init__(self, longest: int = MAX_OUTPUT_LINE) -> None:
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        # It also joins a \r at the end of one frame with the \n at the start of the next.
        self._decoder = io.IncrementalNewlineDecoder(utf8, translate=True)
        self._max_length = longest
        self._partial = ""
        self._too_long = False

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that these bytes complete."""
        return self._split_lines(self._decoder.decode(data))

    def flush(self) -> Iterator[str]:
        """The last line, when no newline ended it. The stream is over."""
        yield from self._split_lines(self._decoder.decode(b"", final=True))
        if self._partial:
            yield self._take_line()

    def _split_lines(self, text: str) -> Iterator[str]:
        *whole, partial = text.split("\n")
        for piece in whole:
            self._add_piece(piece)
            yield self._take_line()
        self._add_piece(partial)

    def _add_piece(self, piece: str) -> None:
        room = self._max_length - len(self._partial)
        self._too_long = self._too_long or len(piece) > room
        self._partial += piece[:room]

    def _take_line(self) -> str:
        line, cut = self._partial, self._too_long
        self._partial, self._too_long = "", False
        return line + _CUT_MARK if cut else line
