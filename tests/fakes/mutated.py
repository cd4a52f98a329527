"""What a reader may meet: any bytes, and valid files that something has changed. And what it may do then."""

import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from matrix.errors import KmatrixError
from tests.fakes.hostile import NASTY_WORDS

MAX_SECONDS = 1.0
"""What a reader may take for a file of some kilobytes."""

# What formats count with, nest with and end with.
_TOKENS = (
    *(b"", b"\0", b"\n", b"\r\n", b'"', b"'", b"{", b"}", b"[", b"]", b",", b":", b"=", b"#", b"`\n", b"/\n"),
    *(b"null", b"true", b"-1", b"0", b"1e999", b"9" * 5000, b"-" + b"9" * 30, b"NaN", b"[]", b"{}", b'""'),
    *(b"[" * 3000, b"{" * 3000, b'{"a":' * 3000, b"(" * 3000, b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80"),
    *(
        b"\\ud800",
        b"\\u0000",
        b"../../x",
        b"/etc/passwd",
        b"9999-12-31T23:59:59Z",
        b"0001-01-01T00:00:00+23:59",
    ),
    *(word.encode("utf-8", "replace") for word in NASTY_WORDS),
)


@st.composite
def mutations(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """A valid file of these with a few changes: pieces cut, doubled, moved, or put in the place of others."""
    content = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from((0, 1, 2, 8, 64, 1 << 20))))
        piece = draw(
            st.one_of(
                st.sampled_from(_TOKENS),
                st.binary(max_size=8),
                st.just(content[start:end] * 2),
                st.just(content[: end - start]),
            )
        )
        content = content[:start] + piece + content[end:]
    return content


_JSON_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from((None, True, 0, -1, 10**30, 1e300, "", "0", [], {}, [[]], {"": None}, "x" * 5000)),
    st.sampled_from(NASTY_WORDS),
    st.sampled_from(("9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "2025-01-01T00:00:00", "F1", "y")),
)


def _list_places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _list_places(inner)


def _change_value(container: Any, key: Any, how: int, value: Any) -> None:
    """Remove it, put another in its place, or, twice as often, another of its type where there is one."""
    if how == 0:
        del container[key]
    elif how == 1 or type(value) is type(container[key]):
        container[key] = copy.deepcopy(value)
    elif isinstance(container[key], str):
        container[key] = str(value)


@st.composite
def json_mutations(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """A valid JSON file in which some values, wherever they are, have become others, or have gone."""
    value = json.loads(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_list_places(value))
        if places:
            container, key = places[draw(st.integers(0, len(places) - 1))]
            _change_value(container, key, draw(st.integers(0, 3)), draw(_JSON_VALUES))
    return json.dumps(value).encode()


def check_reader(
    read: Callable[[bytes], object],
    *valid: bytes,
    documented: tuple[type[Exception], ...] = (),
    more: Sequence[st.SearchStrategy[bytes]] = (),
    examples: int = 150,
) -> None:
    """For any bytes and for changed files, a reader returns or raises what it may raise, within a second.

    It reads each valid file without an error. ``more``: other files that it is tried with.
    """
    for content in valid:
        read(content)

    # A failing file is short enough as it is, and to make it shorter takes minutes.
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(st.binary(max_size=300), *([mutations(valid)] if valid else []), *more))
    def read_any(content: bytes) -> None:
        began = time.process_time()
        with suppress(KmatrixError, *documented):
            read(content)
        assert time.process_time() - began < MAX_SECONDS

    read_any()


def read_at(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    """A reader of a content that has to be in this file first."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def read_content(content: bytes) -> object:
        path.write_bytes(content)
        return read()

    return read_content


def pass_as_text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """A reader of text as one of bytes; what is no UTF-8 comes as a command line has it, without NULs."""
    return lambda content: read(content.decode("utf-8", "surrogateescape").replace("\0", ""))
