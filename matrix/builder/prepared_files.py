"""What make prepares in a lane for a configuration, put back where it is on record.

conf writes a .config once more for make, and marks by a time stamp each symbol that has another value than
before: objects that name it are then made anew. Both are done here, with what conf wrote for that .config
before. Then make finds nothing to ask of conf.

With the headers known as well, the objects on record that fit are known before any make, and one make is
enough: it prepares, finds all headers as they are, and compiles. Headers are written only where make
generates them again at each start, and compares (filechk): a wrong one costs compilations, and never a false
pass.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from matrix.builder.lane_dir import LaneDirectory
from matrix.foreign_files import ForeignFileError
from matrix.foreign_trees import TreeEntry, walk_build
from matrix.kconfig.config import Config, unquote_value
from matrix.memory.prepared import PreparedMemory, digest_file

_PREPARED_HEADER = re.compile(r"(arch/[^/]+/)?include/generated/")
_SET = re.compile(r"^CONFIG_([A-Za-z0-9_]+)=(.*)$", re.MULTILINE)
_AUTO_CONF = "include/config/auto.conf"
_AUTO_HEADER = "include/generated/autoconf.h"
# The last one tells make that all are whole.
_CONF_FILES = ("include/config/auto.conf.cmd", _AUTO_HEADER, "include/generated/rustc_cfg", _AUTO_CONF)
_CHECKED_HEADERS = frozenset(f"include/generated/{name}.h" for name in ("asm-offsets", "bounds", "timeconst"))


def find_prepared_headers(entries: Iterable[TreeEntry]) -> Iterator[str]:
    """The headers that make generates before it compiles anything."""
    # Headers that are generated elsewhere are made with the objects next to them.
    headers = (entry.path for entry in entries if entry.name.endswith(".h"))
    return (path for path in headers if _PREPARED_HEADER.match(path))


@dataclass
class PreparedFiles:
    """What of one lane's prepared files is on record."""

    lane: LaneDirectory
    memory: PreparedMemory

    def put_back(self, config_sha256: str) -> bool:
        """Put back what was prepared for the .config that is there; whether the headers are those that make
        would prepare."""
        known = self.memory.find(config_sha256)
        if known is None:
            return False
        try:
            is_synced = self._put_conf_back(self.memory.load(known.conf) or {})
            return is_synced and known.headers is not None and self._put_headers_back({**known.headers})
        except ForeignFileError:
            return False  # make has its own way with what is there

    def _put_conf_back(self, contents: dict[str, bytes]) -> bool:
        files = self.lane.files
        before = _parse_auto_conf(files.read_bytes(_AUTO_CONF) or b"")
        if _AUTO_CONF not in contents or not any(map(self._is_marked, before)):
            return False  # nothing was made here, or by a kernel before 5.13, which marks in other files
        after = _parse_auto_conf(contents[_AUTO_CONF])
        for name in before.keys() | after.keys():
            if before.get(name) != after.get(name):
                files.write_file(_name_mark(name), b"", self.lane.owner_ids)
        for path in _CONF_FILES:
            if path in contents:
                files.write_file(path, contents[path], self.lane.owner_ids)
        return True

    def _is_marked(self, symbol: str) -> bool:
        return self.lane.files.stat_file(_name_mark(symbol)) is not None

    def _put_headers_back(self, headers: dict[str, str]) -> bool:
        present = self._digest_headers()
        differing = {path: digest for path, digest in headers.items() if present.get(path) != digest}
        if present.keys() != headers.keys() or not differing.keys() <= _CHECKED_HEADERS:
            return False
        contents = self.memory.load(differing)
        for path, content in (contents or {}).items():
            self.lane.files.write_file(path, content, self.lane.owner_ids)
        return contents is not None

    def keep(self, config_sha256: str, config: Config, sources: Set[str] | None) -> None:
        """Remember what make has just prepared for this configuration. ``sources`` went into the headers;
        where that is not known, conf's files alone are kept."""
        if self._is_known(config_sha256, has_sources=sources is not None):
            return
        conf = self._read_files(_CONF_FILES)
        if _has_values(_parse_auto_conf(conf.get(_AUTO_CONF, b"")), config):
            headers, checked = self._digest_headers(), self._read_files(_CHECKED_HEADERS)
            self.memory.keep(config_sha256, conf, headers, checked, sources)

    def _is_known(self, config_sha256: str, *, has_sources: bool) -> bool:
        known = self.memory.find(config_sha256)
        if known is None or self.memory.load(known.conf) is None:
            return False
        return known.headers is not None or not has_sources

    def _read_files(self, paths: Iterable[str]) -> dict[str, bytes]:
        contents = {path: self.lane.files.read_bytes(path) for path in paths}
        return {path: content for path, content in contents.items() if content is not None}

    def _digest_headers(self) -> dict[str, str]:
        paths = {*find_prepared_headers(walk_build(self.lane.build))} - {_AUTO_HEADER}
        return {path: digest_file(content) for path, content in self._read_files(paths).items()}


def _parse_auto_conf(content: bytes) -> dict[str, str]:
    """Symbol → value of each that is not n."""
    return dict(_SET.findall(content.decode("utf-8", "replace")))


def _has_values(values: Mapping[str, str], config: Config) -> bool:
    """Whether conf wrote these values for this configuration. Kernels since 5.17 write strings plainly."""
    wanted = dict(config.enabled_symbols)
    return values.keys() == wanted.keys() and all(
        value in (wanted[name], unquote_value(wanted[name])) for name, value in values.items()
    )


def _name_mark(symbol: str) -> str:
    return f"include/config/{symbol}"
