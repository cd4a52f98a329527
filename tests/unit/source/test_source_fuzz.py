"""Mails, patches, the cache's files and git's words: read, or refused in a sentence, whatever they hold."""

import gzip
import os
from contextlib import suppress
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.engine.protocol import ContainerSpec, LineCallback
from matrix.errors import RequestError
from matrix.source.cache import SourceCache
from matrix.source.git import read_git_provenance, resolve_commit
from matrix.source.git_repository import find_repository
from matrix.source.hash_cache import hash_with_cache
from matrix.source.manifest import Manifest
from matrix.source.mbox.message import parse_mail
from matrix.source.mbox.patch_file import find_touched_paths, parse_patch_file
from matrix.source.mbox.series import read_series
from matrix.source.sandbox import Sandbox
from matrix.source.snapshot import list_files
from matrix.source.spec import parse_source_spec
from tests.fakes.engine import FakeEngine
from tests.fakes.mutated import check_reader, json_mutations, mutations, pass_as_text, read_at
from tests.fakes.small_tree import small_tree

PATCHES = Path(__file__).parents[2] / "patches"
PATCH = (PATCHES / "minitree-regression.patch").read_bytes()
MAIL = b"""From 0123 Mon Sep 17 00:00:00 2001
From: =?utf-8?q?J=C3=B6rg?= <j@example.org>
Date: Mon, 1 Jan 2024 00:00:00 +0000
Subject: =?utf-8?b?W1BBVENIIDEvMl0geA==?=
Message-Id: <1@example.org>
In-Reply-To: <0@example.org>
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

words =3D words
---
diff --git a/x b/x
--- a/x
+++ b/x
@@ -1 +1 @@
-a
+b
--b--
"""


def test_any_mailbox(tmp_path: Path) -> None:
    file = tmp_path / "series.mbox"
    check_reader(
        read_at(file, lambda: read_series(str(file))), PATCH, MAIL, MAIL + b"\n" + MAIL, examples=300
    )


@pytest.mark.parametrize(
    "charset", ["\xdf\ufffd", "x" * 300, "utf-8\0", "unknown", "rot13", "idna", "\x1b[31m"]
)
def test_a_field_in_no_charset_is_left_as_it_is(charset: str) -> None:
    mail = parse_mail(MAIL.replace(b"=?utf-8?q?", b"=?" + charset.encode() + b"?q?"))
    assert mail is not None
    assert mail.sender.address == "j@example.org"


def test_any_patch() -> None:
    def read(content: bytes) -> None:
        find_touched_paths(content)
        parse_patch_file("x.patch", "0" * 64, content)

    renamed = b"diff --git a/x b/y\nsimilarity index 90%\nrename from x\nrename to y\n"
    quoted = b'diff --git "a/x\\303" "b/x\\303"\n--- /dev/null\n+++ "b/x\\303"\n@@ -0,0 +1 @@\n+a\n'
    check_reader(read, PATCH, renamed, quoted, examples=300)


def test_any_source_spec() -> None:
    check_reader(
        pass_as_text(parse_source_spec), b"debian:linux-source-6.12", more=[mutations([b"/tmp@v6.12"])]
    )


def test_any_manifest(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json.gz"
    valid = b'{"Makefile":"f0123","a/link":"l0123"}'
    read = read_at(file, lambda: Manifest.load(file))
    check_reader(read, gzip.compress(valid), documented=(OSError, ValueError))
    check_reader(
        lambda content: read(gzip.compress(content)),
        valid,
        documented=(OSError, ValueError),
        more=[json_mutations([valid])],
    )


def test_any_cache_of_hashes(tmp_path: Path) -> None:
    root, file = small_tree(tmp_path / "tree"), tmp_path / "hashes.json.gz"
    for path in root.rglob("*"):
        os.utime(path, (1_500_000_000, 1_500_000_000), follow_symlinks=False)
    files = list_files(root)
    digest = hash_with_cache(root, files, file).digest
    valid = b'{"Makefile":["0",1,2,3,4,5]}'

    def read() -> None:
        assert hash_with_cache(root, files, file).digest == digest

    kept = read_at(file, read)
    check_reader(kept, gzip.compress(valid), examples=60)
    check_reader(
        lambda content: kept(gzip.compress(content)), valid, more=[json_mutations([valid])], examples=60
    )


@pytest.mark.parametrize("name", ["entry.json", "specs"])
def test_any_entry_of_the_cache(tmp_path: Path, name: str) -> None:
    cache = SourceCache(CacheLayout(tmp_path))
    digest = "0" * 64
    tree = cache.layout.sources / digest
    (tree / "tree").mkdir(parents=True)
    (tree / "manifest.json.gz").touch()
    (tree / "entry.json").write_text('{"version": "6.12", "files": 7, "size": 12}')
    cache.write_spec_entry("key", digest, package="1")
    assert cache.read_spec_entry("key")
    file = tree / "entry.json" if name == "entry.json" else next(cache.layout.spec_entries.glob("*.json"))

    def read() -> None:
        cache.list_trees()
        cache.find(digest)
        cache.read_spec_entry("key")

    valid = file.read_bytes()
    check_reader(read_at(file, read), valid, more=[json_mutations([valid])] * 2, examples=150)


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        (".git", b"gitdir: ../git\n"),
        ("../git/commondir", b".\n"),
        ("../git/objects/info/alternates", b"../../x\n"),
    ],
)
def test_any_pointer_of_a_repository(tmp_path: Path, name: str, valid: bytes) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / ".git").write_bytes(b"gitdir: ../git\n")
    for folder in ("objects/info", "refs"):
        (tmp_path / "git" / folder).mkdir(parents=True)
    (tmp_path / "git/HEAD").write_text("ref: refs/heads/main\n")
    check_reader(read_at(root / name, lambda: find_repository(root)), valid, examples=150)


def test_any_words_of_git(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "refs").mkdir()
    (tmp_path / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/.git").write_text("gitdir: ..\n")

    def read(content: bytes) -> None:
        def say_lines(_: ContainerSpec, say: LineCallback) -> int:
            for line in content.decode("utf-8", "replace").splitlines():
                say(line)
            return content[0] % 2 if content else 0

        sandbox = Sandbox(FakeEngine(say_lines, images=["base"]), "base", "0:0")
        with suppress(RequestError):
            read_git_provenance(tmp_path / "tree", sandbox)
        commit = resolve_commit(tmp_path / "tree", "v6.12", sandbox)
        assert "\x1b" not in commit.describe

    check_reader(read, b"describe=v6.12\ncommit=" + b"0" * 40 + b"\ndirty=1\ndenied=\n")
