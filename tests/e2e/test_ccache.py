"""Compilers called through ccache, in real containers: the same build, and nothing compiled twice."""

import hashlib
import shutil
from pathlib import Path

import pytest

from matrix.record.run_model import Run
from matrix.record.states import State
from tests.e2e.conftest import Kmatrix
from tests.minitree import WARNING, patched

pytestmark = pytest.mark.engine
CELL = ["KVM=y,MODULES=y,VFIO=y"]
ON = ["yes"]


def entries(kmatrix: Kmatrix, layer: str = "*") -> set[Path]:
    """What ccache kept in a layer, of all images."""
    return {path for path in kmatrix.place.glob(f"cache/ccache/*/{layer}/??/*") if path.is_file()}


def drop_builds(kmatrix: Kmatrix) -> None:
    """Remove the lanes and all that is remembered of them."""
    for folder in ("lanes", "memory"):
        shutil.rmtree(kmatrix.place / "cache" / folder)


def built(kmatrix: Kmatrix) -> dict[str, str]:
    """What the lanes hold of objects and command files, each with its digest."""
    found = {}
    for path in kmatrix.place.glob("cache/lanes/*/build/**/*"):
        if path.suffix in {".o", ".cmd"} and path.is_file():
            lane, _, name = str(path.relative_to(kmatrix.place / "cache/lanes")).partition("/")
            found[f"{lane.rsplit('-', 1)[0]}/{name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def recorded(done: Run) -> list[object]:
    """What a cell is made with and what came of it."""
    return [
        (cell.id, cell.state, cell.make, cell.config_sha256, [stage.command for stage in cell.stages])
        for cell in done.cells
    ]


def test_the_build_is_the_same_and_a_second_one_compiles_nothing(kmatrix: Kmatrix) -> None:
    plain = kmatrix.run(source=[kmatrix.tree], select=CELL)
    objects = built(kmatrix)
    drop_builds(kmatrix)
    first = kmatrix.run(source=[kmatrix.tree], select=CELL, ccache=ON)
    assert recorded(first) == recorded(plain), (
        "make lines and .config, with CC_VERSION_TEXT, stay as they are"
    )
    assert built(kmatrix) == objects
    kept = entries(kmatrix)
    assert kept
    drop_builds(kmatrix)
    again = kmatrix.run(source=[kmatrix.tree], select=CELL, ccache=ON)
    assert recorded(again) == recorded(plain)
    assert built(kmatrix) == objects
    assert entries(kmatrix) == kept


def test_a_warning_is_told_again_and_a_patch_writes_to_its_own_layer(kmatrix: Kmatrix) -> None:
    kmatrix.run(source=[kmatrix.tree], select=CELL, ccache=ON, toolchain=["gcc-14"])
    base = entries(kmatrix, "base")
    options = {"source": [kmatrix.tree], "patch": [str(WARNING)], "toolchain": ["gcc-14"], "ccache": ON}
    drop_builds(kmatrix)
    first = kmatrix.run(**options, select=CELL)
    own = entries(kmatrix, "patched-*")
    assert 0 < len(own) < len(base), "what the patch leaves as it was is read from the base's layer"
    assert entries(kmatrix, "base") == base
    drop_builds(kmatrix)
    again = kmatrix.run(**options, select=CELL)
    assert entries(kmatrix, "patched-*") == own
    assert first.cells[0].state is again.cells[0].state is State.WARN
    assert again.cells[0].diagnostics == first.cells[0].diagnostics


def test_a_fresh_run_takes_nothing_of_it_and_keeps_what_it_compiles(kmatrix: Kmatrix) -> None:
    kmatrix.run(source=[kmatrix.tree], select=CELL, ccache=ON, toolchain=["gcc-14"])
    base = entries(kmatrix, "base")
    options = {"source": [kmatrix.tree], "patch": [str(WARNING)], "toolchain": ["gcc-14"], "ccache": ON}
    kmatrix.run(**options, select=CELL, fresh=ON)
    own = entries(kmatrix, "patched-*")
    assert len(own) >= len(base) > 0, "also what the patch leaves as it was is compiled, and kept"


def test_data_that_an_object_includes_is_never_an_older_builds(kmatrix: Kmatrix) -> None:
    """An ``.incbin`` is no dependency that a compiler names."""
    tree = patched(kmatrix.place / "with data")
    data, source = tree / "drivers/vfio/table.bin", tree / "drivers/vfio/vfio_main.c"
    source.write_text(f'{source.read_text()}\nasm(".incbin \\"/src/drivers/vfio/table.bin\\"");\n')
    digests = []
    for text in ("one", "two"):
        data.write_text(text)
        done = kmatrix.run(source=[str(tree)], select=CELL, ccache=ON, toolchain=["gcc-14"])
        assert [cell.state for cell in done.cells] == [State.PASS]
        digests += [digest for name, digest in built(kmatrix).items() if name.endswith("/vfio_main.o")]
        drop_builds(kmatrix)
    assert len({*digests}) == 2
