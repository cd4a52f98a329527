"""Wrong use, as a table: what is typed, the exit code, the sentence, and the way out.

Every row runs on the command line as a user meets it, in one small world whose engine is in memory. None of
them is a bug, none writes anything, and none lets a terminal be controlled. The modules beside this one have
the rows.
"""

import os
import re
import shutil
from collections.abc import Iterator

import pytest

import tasks
from matrix.commands import doctor, session, setup, sweep
from tests.unit.wrong_use.building import BASELINES, BENCHES, CLUSTERS, OUTPUTS, SHARDS, WATCHES, WORKFLOWS
from tests.unit.wrong_use.machine import ENGINES, IMAGES, MACHINE
from tests.unit.wrong_use.planning import OPTIONS, PATCHES, PROGRAM, SOURCES
from tests.unit.wrong_use.profiles import BASES, PROFILES, TEXTS, WRONG_TYPES
from tests.unit.wrong_use.results import FINDINGS, IMPORTS, LOGS, RUNS, SUBMISSIONS
from tests.unit.wrong_use.row import Row, profile
from tests.unit.wrong_use.world import World

Said = pytest.CaptureFixture[str]
TABLE = {
    "engines": ENGINES,
    "program": PROGRAM,
    "options": OPTIONS,
    "sources": SOURCES,
    "patches": PATCHES,
    "profiles": PROFILES,
    "texts": [Row(profile(f"{name}-text.toml"), says) for name, (_, says) in TEXTS.items()],
    "types": [Row(profile(f"{key}-type.toml"), rf"{key}-type.toml: {key}") for key in WRONG_TYPES],
    "bases": [Row(profile(f"base{n}.toml"), says) for n, says in enumerate(BASES.values())],
    "outputs": OUTPUTS,
    "baselines": BASELINES,
    "runs": RUNS,
    "watches": WATCHES,
    "workflows": WORKFLOWS,
    "images": IMAGES,
    "findings": FINDINGS,
    "submissions": SUBMISSIONS,
    "logs": LOGS,
    "imports": IMPORTS,
    "benches": BENCHES,
    "shards": SHARDS,
    "clusters": CLUSTERS,
    "machine": MACHINE,
}
ALL = [(group, row) for group, rows in TABLE.items() for row in rows]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("world"))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KMATRIX_")]:
            patch.delenv(name)
        patch.setenv("DOCKER_HOST", made.docker_host)
        patch.setenv("KMATRIX_CACHE", str(made.root / "cache"))
        patch.setattr(session, "RUNS_DIRECTORY", made.root / "runs")
        for module in (session, setup, doctor, sweep):
            patch.setattr(module, "connect_engine", made.connect_engine)
        patch.chdir(made.root)
        yield made


def kmatrix(*words: str) -> int:
    """The exit code of these words."""
    try:
        tasks.program.run(["kmatrix", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def name_row(case: object) -> str:
    return (
        " ".join(case.argv)[:60].encode("ascii", "replace").decode() if isinstance(case, Row) else str(case)
    )


@pytest.mark.parametrize(("group", "row"), ALL, ids=name_row)
def test_wrong_use_has_its_code_its_sentence_and_its_way_out(
    group: str, row: Row, world: World, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    del group
    for name, value in row.environment.items():
        monkeypatch.setenv(name, value)
    code = kmatrix(*row.argv)
    out, err = capsys.readouterr()
    sentence, *way_out = err.rstrip("\n").split("\n")
    assert sentence.startswith("kmatrix: "), err
    assert re.search(row.says, sentence), err
    assert re.search(row.hint, "\n".join(way_out)), err
    assert code == row.code, err
    assert out == ""
    assert all(line.startswith("  ") for line in way_out)
    assert not re.search("this is a bug|Traceback", err)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", err)
    assert world.list_files() == world.files


def test_the_table_covers_every_task() -> None:
    named = {word for _, row in ALL for word in row.argv}
    assert set(tasks.namespace.tasks) <= named
    assert len(ALL) >= 150


def test_the_world_itself_is_in_order(world: World, capsys: Said) -> None:
    # What is refused above is refused for its own fault, and not for want of a world that works.
    assert kmatrix("plan", "--profile", "ok.toml") == 0
    out, err = capsys.readouterr()
    assert "2 requests, 2 reachable" in out
    assert "kept in" not in err
    assert kmatrix("run", "--profile", "ok.toml", "--out", "out") == 0
    shutil.rmtree(world.root / "out")
    for words in (("report",), ("explain", "--finding", "F1"), ("compare", "a-run", "a-run")):
        assert kmatrix(*words, *(() if words[0] == "compare" else ("--run", "a-run"))) in {0, 100}
