"""A resolution kept in the cache: whatever its file holds, it is taken as it was made, or made anew."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from matrix.catalog.load import load_catalog
from matrix.plan import Request
from matrix.record.run_model import StageRecord
from matrix.record.states import State
from matrix.resolve.resolution_store import ResolutionStore
from matrix.resolve.resolver import Resolver
from tests.fakes.mutated import check_reader, json_mutations, read_at

REQUEST = Request.from_symbols("x86", "gcc-14", "defconfig", {"KVM": "y"})
STAGE = StageRecord(name="configure", state=State.PASS, command="make olddefconfig")
VALID = json.dumps(
    {"config": "CONFIG_KVM=y\n", "stage": json.loads(STAGE.model_dump_json()), "diagnostics": []}
).encode()


def test_any_kept_resolution(tmp_path: Path) -> None:
    runner: Any = SimpleNamespace(image="i", make_line="ARCH=x86")
    resolver = Resolver(runner, load_catalog(), "0", "0", {}, ResolutionStore(tmp_path))
    key = resolver._compute_key(REQUEST)
    file = tmp_path / key[:2] / f"{key}.json.gz"
    read = read_at(file, lambda: resolver.find_stored(REQUEST))
    assert read(gzip.compress(VALID))
    check_reader(read, gzip.compress(VALID), examples=60)
    check_reader(lambda content: read(gzip.compress(content)), VALID, more=[json_mutations([VALID])] * 2)
