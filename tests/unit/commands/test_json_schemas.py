"""The published schemas: what the types say; what run.json's takes, and what it refuses."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from matrix.commands.json_schemas import PUBLISHED_SCHEMAS, RUN_SCHEMA, PublishedSchema
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.record.journal import Journal
from matrix.record.run_directory import load_run
from matrix.record.run_model import Cell, Host, Run, SourceRecord, Tool
from matrix.record.states import State

SHA = "ab" * 32

# Written by hand from the design, not from the types.
BY_HAND: dict[str, Any] = {
    "schema": 1,
    "id": "20261122-093015-kvm-vfio",
    "tool": {"version": "0.1", "commit": None},
    "command": "./inv run",
    "host": {
        "system": "Debian 12",
        "cpus": 2,
        "memory": 8_000_000_000,
        "engine": "Docker 20.10.24",
        "isolation": "no network, limits applied",
    },
    "started": "2026-11-22T09:30:15Z",
    "finished": "2026-11-22T10:30:15+00:00",
    "interrupted": False,
    "profile": {"name": "kvm-vfio", "arch": ["powerpc"], "symbols": {"KVM": ["n", "y"]}},
    "axes": {"arch": ["powerpc"], "toolchain": ["gcc-14"], "base": ["defconfig"], "KVM": ["n", "y"]},
    "plan_sha256": SHA,
    "source": {
        "spec": "debian:linux-source-6.12",
        "version": "6.12.48",
        "digest": SHA,
        "git": {"commit": "0123", "describe": "v6.12-3-g0123", "dirty": True},
        "patches": [{"name": "fix.patch", "sha256": SHA}],
    },
    "toolchains": {
        "gcc-14": {
            "image": "kmatrix/gcc-14",
            "image_id": f"sha256:{SHA}",
            "compilers": {"powerpc": {"version": "gcc 14.2.0", "binutils": "2.44"}},
        }
    },
    "diagnostics": {
        "0123456789abcdef": {
            "severity": "error",
            "tool": "gcc",
            "file": "include/linux/vfio.h",
            "line": 294,
            "column": 35,
            "message": "weak declaration of 'vfio_file_iommu_group' being applied to …",
            "flag": None,
            "function": None,
            "symbols": ["vfio_file_iommu_group"],
            "notes": [],
            "included_from": ["virt/kvm/vfio.c:17"],
            "excerpt": ["  294 | static inline …"],
            "promoted": False,
        }
    },
    "cells": [
        {
            "id": "powerpc/gcc-14/defconfig/KVM=y",
            "arch": "powerpc",
            "toolchain": "gcc-14",
            "base": "defconfig",
            "request": {"KVM": "y"},
            "verified": [{"symbol": "KVM_BOOK3S_64", "want": "y", "got": "y"}],
            "config_sha256": SHA,
            "make": "ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-",
            "state": "fail",
            "reason": None,
            "resolves_to": None,
            "evidence": "built",
            "evidence_from": None,
            "stages": [
                {
                    "name": "focus",
                    "state": "fail",
                    "command": "make -k arch/powerpc/kvm/",
                    "exit": 2,
                    "seconds": 31.5,
                    "objects": 41,
                    "compiled": 40,
                }
            ],
            "diagnostics": [{"key": "0123456789abcdef", "object": "virt/kvm/vfio.o", "stage": "focus"}],
            "log": "cells/powerpc/gcc-14/defconfig/KVM=y/build.log",
        }
    ],
}


def _known(value: Any, known: Any) -> Any:
    """A value without the optional keys that came after ``known`` was written."""
    if isinstance(known, dict):
        return {key: _known(value[key], item) for key, item in known.items()}
    if isinstance(known, list):
        return [_known(a, b) for a, b in zip(value, known, strict=True)]
    return value


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(RUN_SCHEMA.path.read_text("utf-8")))


@pytest.mark.parametrize("published", PUBLISHED_SCHEMAS, ids=lambda published: published.file)
def test_the_published_file_is_what_the_types_say(published: PublishedSchema) -> None:
    assert published.path.read_text("utf-8") == published.render(), (
        "the types have changed: run python -m matrix.commands.json_schemas"
    )


@pytest.mark.parametrize("published", PUBLISHED_SCHEMAS, ids=lambda published: published.file)
def test_it_is_a_schema_of_its_draft_with_a_title(published: PublishedSchema) -> None:
    schema = published.build()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "$id" not in schema
    assert schema["title"]
    assert schema["description"]


def test_a_run_written_by_hand_from_the_design_is_valid(validator: Draft202012Validator) -> None:
    validator.validate(BY_HAND)


def test_and_can_be_read_with_everything_in_it(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(BY_HAND))
    run = load_run(tmp_path)
    assert run.cells[0].state is State.FAIL
    assert run.cells[0].stages[0].compiled == 40
    assert run.diagnostics["0123456789abcdef"].line == 294
    again = _known(json.loads(run.model_dump_json(by_alias=True)), BY_HAND)
    assert again == BY_HAND | {"started": again["started"], "finished": again["finished"]}


def test_what_the_journal_writes_is_valid_from_the_beginning_to_the_end(
    tmp_path: Path, validator: Draft202012Validator
) -> None:
    row = Cell(id="x86/gcc-14/b/A=y", arch="x86", toolchain="gcc-14", base="b", request={"A": "y"})
    run = Run(
        id="r",
        tool=Tool(version="0.1"),
        command="",
        host=Host(system="", cpus=1, memory=1, engine="", isolation=""),
        started=datetime.now(UTC),
        profile={},
        axes={"A": ("y",)},
        plan_sha256=SHA,
        source=SourceRecord(spec="s", version="6.12", digest=SHA),
        toolchains={},
        cells=(row,),
    )
    error = Diagnostic(severity="error", tool="ld", message="undefined reference")
    with Journal(tmp_path, run) as journal:
        validator.validate(json.loads((tmp_path / "run.json").read_text()))
        journal.record_finished_cell(row.model_copy(update={"state": State.FAIL}), {error.key: error})
        journal.close(interrupted=True)
    validator.validate(json.loads((tmp_path / "run.json").read_text()))


def test_keys_of_a_later_version_are_allowed_everywhere(validator: Draft202012Validator) -> None:
    later = copy.deepcopy(BY_HAND)
    places = (later, later["source"], later["cells"][0], later["cells"][0]["stages"][0], later["host"])
    for place in places:
        place["added_next_year"] = {"of": "any kind"}
    validator.validate(later)


def placed(run: dict[str, Any], path: str) -> tuple[Any, str]:
    """What holds the last key of ``cells.0.id``, and that key."""
    *way, last = path.split(".")
    place: Any = run
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    return place, last


@pytest.mark.parametrize(
    "path",
    [
        "schema",
        "id",
        "source",
        "source.digest",
        "plan_sha256",
        "axes",
        "cells.0.id",
        "cells.0.request",
    ],
)
def test_a_run_that_lacks_what_every_run_has_is_not_valid(validator: Draft202012Validator, path: str) -> None:
    broken = copy.deepcopy(BY_HAND)
    place, last = placed(broken, path)
    del place[last]
    assert not validator.is_valid(broken)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", 2),
        ("schema", "1"),
        ("started", 7),
        ("cells", {}),
        ("cells.0.state", "broken"),
        ("cells.0.state", None),
        ("cells.0.evidence", "hearsay"),
        ("cells.0.request", {"KVM": True}),
        ("cells.0.stages.0.name", "link"),
        ("cells.0.stages.0.objects", "41"),
        ("diagnostics.0123456789abcdef.severity", "note"),
        ("axes.arch", "powerpc"),
    ],
)
def test_a_run_with_a_wrong_value_is_not_valid(
    validator: Draft202012Validator, path: str, value: object
) -> None:
    broken = copy.deepcopy(BY_HAND)
    place, last = placed(broken, path)
    place[last] = value
    assert not validator.is_valid(broken)
