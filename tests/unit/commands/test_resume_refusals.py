"""What a run that was stopped does not go on with: whatever differs from what it was made of."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from matrix.engine.images import ImageRecipe
from matrix.errors import RequestError
from tests.unit.commands.resume_desk import ResumedDesk, refuse
from tests.unit.commands.run_desk import PROFILE, TWO_LANES, applying, states


def test_another_kmatrix_is_refused(desk: ResumedDesk) -> None:
    record = desk.kill_after(2) / "run.json"
    run = json.loads(record.read_text())
    run["tool"]["version"] = "0.0.9"
    record.write_text(json.dumps(run, indent=1))
    assert re.search(r"cannot be resumed: kmatrix is .*, and was 0\.0\.9", refuse(desk))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage": ["vmlinux"]}, "stage is vmlinux, and was focus"),
        ({"toolchain": ["clang-19"]}, "toolchain is clang-19, and was gcc-14"),
        ({"make": ["W=1"]}, "make is W=1, and was nothing"),
        ({"timeout": ["1m"]}, "timeout is 1m, and was 60m"),
        ({"select": ["VFIO=y"]}, "select is VFIO=y, and was nothing"),
        ({"out": ["elsewhere"]}, "out is elsewhere, and was not set"),
        ({"fail_fast": ["yes"]}, "fail-fast is True, and was False"),
        ({"fresh": ["yes"], "stage": ["modules"]}, "stage is modules, and was focus; fresh is True"),
    ],
)
def test_another_request_is_refused_with_what_differs(
    desk: ResumedDesk, options: dict[str, list[str]], words: str
) -> None:
    desk.kill_after(2)
    assert f"cannot be resumed: {words}" in refuse(desk, **options)


def test_of_the_shells_variables_only_what_may_differ_counts(desk: ResumedDesk) -> None:
    """The run was asked for in a shell that has them, and with options that say something else."""
    desk.kill_after(2)
    desk.variables = {"KMATRIX_PROFILE": "quick", "KMATRIX_STAGE": "modules", "KMATRIX_JOBS": "1"}
    done = desk.resume()
    assert {stage.name for cell in done.cells for stage in cell.stages} <= {"configure", "focus"}
    assert {job.parallel for job in desk.kernel.jobs} == {1}


def test_what_no_result_depends_on_may_differ(desk: ResumedDesk) -> None:
    stopped = desk.interrupt_after(3, jobs=["2"])
    free = {"jobs": ["1"], "lanes": ["1"], "memory": ["1G"], "retries": ["0"], "deadline": ["1h"]}
    done = desk.resume(cache_size=["1G"], **free)
    assert states(done) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]
    assert {job.container.limits.memory for job in desk.kernel.jobs} == {2**30}
    assert done.profile == stopped.profile


def test_the_command_of_the_run_resumes_it_with_resume_behind_it(desk: ResumedDesk) -> None:
    stopped = desk.interrupt_after(3, arch=["x86"])
    typed = {"profile": [str(desk.profile)], "source": [str(desk.tree)], "arch": ["x86"]}
    assert desk.resume(**typed).id == stopped.id


@pytest.mark.parametrize(
    ("options", "variables", "words"),
    [
        ({"jobs": ["0"]}, {}, "--jobs: jobs: input should be greater than or equal to 1, got 0"),
        ({"stage": ["vmlinuz"]}, {}, "--stage: stage: input should be 'focus', 'vmlinux' or 'modules'"),
        ({}, {"KMATRIX_LANES": "x"}, "KMATRIX_LANES: expected a whole number, got 'x'"),
        ({"arch": ["x68"]}, {}, "--arch: arch: unknown arch 'x68'"),
    ],
)
def test_what_is_no_value_is_refused_by_the_name_it_was_given_under(
    desk: ResumedDesk, options: dict[str, list[str]], variables: dict[str, str], words: str
) -> None:
    desk.kill_after(2)
    desk.variables = variables
    with pytest.raises(RequestError) as caught:
        desk.resume(**options)
    assert words in str(caught.value)


def test_another_profile_is_refused(desk: ResumedDesk) -> None:
    desk.kill_after(2)
    desk.asks(TWO_LANES)
    typed = {"profile": [str(desk.profile)], "source": [str(desk.tree)]}
    assert "symbols is VFIO=['n', 'y'], and was MODULES=['n', 'y'], VFIO=" in refuse(desk, **typed)


def test_editing_the_source_changes_nothing_unless_it_is_named_again(desk: ResumedDesk) -> None:
    stopped = desk.interrupt_after(3)
    (desk.tree / "drivers/vfio/vfio.c").write_text("int edited;\n")
    assert re.search("the source is sha256 .*, and was ", refuse(desk, source=[str(desk.tree)]))
    assert desk.resume().source == stopped.source


def test_a_source_that_is_gone_and_was_edited_is_refused(desk: ResumedDesk) -> None:
    desk.kill_after(2)
    (desk.tree / "drivers/vfio/vfio.c").write_text("int edited;\n")
    shutil.rmtree(desk.place / "cache/sources")
    assert "is another tree now" in refuse(desk)


def test_another_patch_under_the_same_name_is_refused(desk: ResumedDesk) -> None:
    desk.kernel.applies = applying
    patch = desk.place / "fix.patch"
    text = "--- a/drivers/vfio/vfio.c\n+++ b/drivers/vfio/vfio.c\n@@ -1 +1 @@\n-int vfio;\n+int v;\n"
    patch.write_text(text)
    desk.kill_after(2, patch=[str(patch)])
    patch.write_text(text + "\n")
    assert "the patch fix.patch has changed" in refuse(desk, patch=[str(patch)])
    desk.resume()


def test_another_image_is_refused(desk: ResumedDesk) -> None:
    desk.kill_after(2)
    tag = ImageRecipe("gcc-14", "gcc", 14).tag
    desk.engine.remove_image(tag)
    assert "the image of gcc-14 has changed" in refuse(desk)


def test_another_engine_is_refused_and_another_version_of_it_is_not(
    desk: ResumedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.kill_after(2)
    info = desk.engine.query_info()
    monkeypatch.setattr(desk.engine, "query_info", lambda: replace(info, name="podman"))
    assert "the engine is podman 1.0, and was fake 1.0" in refuse(desk)
    monkeypatch.setattr(desk.engine, "query_info", lambda: replace(info, version="2.0"))
    desk.resume()


def test_a_base_that_was_edited_is_refused(desk: ResumedDesk) -> None:
    own = desk.place / "own.config"
    own.write_text("CONFIG_MODULES=y\n")
    head = PROFILE.replace("[symbols]", f'base = ["own"]\n[bases.own]\nfile = "{own}"\n[symbols]')
    desk.asks(TWO_LANES, head)
    desk.kill_after(1)
    own.write_text("CONFIG_MODULES=n\n")
    assert "the base own has changed" in refuse(desk)


def test_a_run_with_a_link_in_it_is_refused(desk: ResumedDesk) -> None:
    """It may be somebody else's, and lead what is written elsewhere."""
    directory = desk.kill_after(2)
    victim = desk.place / "victim"
    victim.mkdir()
    shutil.rmtree(directory / "cells/x86/gcc-14")
    (directory / "cells/x86/gcc-14").symlink_to(victim)
    assert "is a link" in refuse(desk)
    assert list(victim.iterdir()) == []


def test_builds_of_others_are_refused(desk: ResumedDesk) -> None:
    record = desk.kill_after(3) / "run.json"
    run = json.loads(record.read_text())
    run["cells"][0] |= {"state": "unknown", "evidence": "imported"}
    run["finished"] = run["started"]
    record.write_text(json.dumps(run, indent=1))
    assert "so there is nothing to go on with" in refuse(desk)


def test_a_run_that_is_not_there_is_refused(desk: ResumedDesk) -> None:
    with pytest.raises(RequestError, match="there is no run 'nosuch'"):
        desk.resume("nosuch")
