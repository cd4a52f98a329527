"""A layer that is damaged anywhere gives a miss or a right answer, and takes new entries again."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.memory import eviction
from matrix.memory.store import Entry, EntryKind, MemoryStore
from matrix.side_failures import take_side_failures

CONTENTS = [b"%d" % number * 50 for number in range(30)]
TRIES = 24


def build_entry(number: int, contents: tuple[str, ...]) -> Entry:
    value = f'{{"number": "{str(number) * (20 + number % 7 * 900)}"}}'
    kind: EntryKind = "object" if number % 2 else "result"
    return Entry(
        kind, f"scope-{number % 3}", f"virt/{number % 20}.o", f"key-{number}", value, "run", contents
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Entry]]:
    """A folder with one layer, and the entries in it."""
    folder = tmp_path_factory.mktemp("whole")
    store = MemoryStore(folder / "base")
    digests = [store.put_content(content) for content in CONTENTS]
    entries = [build_entry(n, (digests[n % 30], digests[n * 7 % 30])) for n in range(120)]
    store.put_entries(entries)
    store.close()
    return folder, entries


def flip_bit(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def flip_in_head(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(600)] = chance.randrange(256)


def overwrite_part(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start : start + 3000] = chance.randbytes(chance.randrange(3000))


def cut_off(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def zero_page(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data) // 4096) * 4096
    data[start : start + 4096] = bytes(4096)


def find_all(store: MemoryStore, entries: list[Entry]) -> list[Entry]:
    single = (store.find_entry(entry.kind, entry.scope, entry.name, entry.key) for entry in entries[::9])
    scopes = {(entry.kind, entry.scope) for entry in entries}
    return [
        *(entry for entry in single if entry),
        *(entry for kind, scope in scopes for entry in store.find_entries(kind, scope)),
    ]


@pytest.mark.parametrize("damage", [flip_bit, flip_in_head, overwrite_part, cut_off, zero_page])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_damage_anywhere_is_a_miss_or_nothing(
    whole: tuple[Path, list[Entry]],
    tmp_path: Path,
    damage: Callable[[bytearray, random.Random], None],
    suffix: str,
) -> None:
    folder, entries = whole
    chance = random.Random(f"{damage.__name__}{suffix}")
    for number in range(TRIES if not suffix else TRIES // 8):
        root = tmp_path / str(number) / "base"
        shutil.copytree(folder / "base", root)
        if suffix:
            leave_open_files(root, entries)
        path = root / f"index.sqlite{suffix}"
        data = bytearray(path.read_bytes())
        damage(data, chance)
        path.write_bytes(data)
        store = MemoryStore(root)
        assert_right(store, entries, chance)
        store.close()
        eviction.list_holdings(root.parent)
        eviction.measure_layers(root.parent)
        if number % 8 == 0:
            eviction.evict_layers(root.parent, before=time.time() - 900, cutoff=time.time())
        shutil.rmtree(root.parent)
    assert take_side_failures() == []


def leave_open_files(root: Path, entries: list[Entry]) -> None:
    """Leave the files that a killed process leaves: what it wrote is in the log, and not in the index."""
    store = MemoryStore(root)
    store.put_entries(entries[:20])
    copies = {path: path.read_bytes() for path in root.glob("index*")}
    store.close()
    for path, data in copies.items():
        path.write_bytes(data)


def assert_right(store: MemoryStore, entries: list[Entry], chance: random.Random) -> None:
    known = {(entry.kind, entry.scope, entry.name, entry.key): entry for entry in entries}

    def look() -> None:
        for entry in find_all(store, entries):
            assert entry == known[entry.kind, entry.scope, entry.name, entry.key]

    steps: list[Callable[[], object]] = [
        look,
        lambda: store.put_entries(chance.sample(entries, 5)),
        lambda: store.record_use(chance.sample(entries, 5)),
        lambda: store.list_names("object", "scope-1"),
        look,
    ]
    chance.shuffle(steps)
    for step in steps:
        step()
    for content in CONTENTS[:3]:
        assert store.get_content(store.put_content(content)) == content
    store.put_entries(entries[:3])
    assert [store.find_entry(e.kind, e.scope, e.name, e.key) for e in entries[:3]] == entries[:3]


def test_a_value_that_was_changed_is_a_miss(whole: tuple[Path, list[Entry]], tmp_path: Path) -> None:
    # SQLite finds nothing wrong with it.
    shutil.copytree(whole[0] / "base", tmp_path / "base")
    store = MemoryStore(tmp_path / "base")
    entry = whole[1][79]
    digits = b"79" * 40
    data = store.index.read_bytes()
    assert digits in data
    store.index.write_bytes(data.replace(digits, b"78" * 40, 1))
    found = [store.find_entry(e.kind, e.scope, e.name, e.key) for e in whole[1]]
    assert found.count(None) == 1
    assert entry not in found


@pytest.mark.parametrize("digest", ["", "../victim", "0" * 63, "{place}/victim", "Z" * 64])
def test_no_name_but_a_digest_is_looked_for(tmp_path: Path, digest: str) -> None:
    store, digest = MemoryStore(tmp_path / "base"), digest.format(place=tmp_path)
    store.put_content(b"")
    (tmp_path / "victim").touch()
    assert store.get_content(digest) is None
    assert (tmp_path / "victim").exists()
    store.close()


def test_a_name_that_is_no_text_is_a_miss(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path / "base")
    odd, plain = (Entry("object", "s", name, "k", "{}", "run") for name in ("a\udcff.o", "a.o"))
    store.put_entries([odd, plain])
    store.record_use([odd])
    assert store.find_entry("object", "s", odd.name, "k") is None
    assert store.find_entries("object", "s", odd.name) == []
    assert store.find_entries("object", "s") == [plain]
    assert take_side_failures() == []
    store.close()
