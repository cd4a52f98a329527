"""Profiles and the catalog's rows: whatever a file holds is read, or refused in a sentence."""

from pathlib import Path
from typing import Any

import pytest

from matrix.catalog.load import (
    Catalog,
    load_profile,
    parse_recorded_profile,
    validate_toml_data,
)
from matrix.catalog.toml_file import read_toml
from matrix.catalog.types import Arch, Base, Setting, Toolchain
from matrix.plan import plan_requests
from tests.fakes.mutated import check_reader, read_at

CATALOG = Path(__file__).parents[3] / "matrix/catalog"
PROFILE = b"""arch = ["x86"]
toolchain = ["gcc-14", "t"]
base = ["a"]
focus = ["kernel/"]
select = ["x86/*", "!KVM=n"]
timeout = "5m"
memory = "2G"
jobs = 3
make = { W = "1" }
[symbols]
KVM = ["y", "n"]
[bases.a]
target = "defconfig"
fragment = ["CONFIG_A=y"]
arch.x86 = "x86_64_defconfig"
[toolchains.t]
image = "gcc:14"
make = { CC = "gcc" }
[knobs.KVM.x86.y]
set = { KVM = "y" }
proof = { KVM = "y" }
"""
ROWS: dict[str, Any] = {
    "arches": Arch,
    "toolchains": Toolchain,
    "bases": Base,
    "knobs": dict[str, dict[str, Setting]],
}


def test_any_profile(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    builtin = (CATALOG / "profiles/kvm-vfio.toml").read_bytes()
    check_reader(read_at(file, lambda: plan_requests(load_profile(str(file)))), PROFILE, builtin)


@pytest.mark.parametrize("name", ROWS)
def test_any_rows_of_the_catalog(tmp_path: Path, name: str) -> None:
    def read() -> None:
        for key, row in read_toml(tmp_path / "rows.toml").items():
            validate_toml_data(ROWS[name], row, {}, default=key)

    check_reader(read_at(tmp_path / "rows.toml", read), (CATALOG / f"{name}.toml").read_bytes(), examples=60)


def test_any_recorded_profile(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"

    def read() -> None:
        parse_recorded_profile(read_toml(file), "a run")

    check_reader(read_at(file, read), PROFILE)


def test_the_catalog_names_what_it_is_made_of() -> None:
    assert set(Catalog.__dataclass_fields__) - {"with_ccache", "registry"} == set(ROWS)
