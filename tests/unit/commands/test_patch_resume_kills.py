"""A verdict that is killed at any moment, and resumed, equals one that nobody disturbed, but for times.

`KMATRIX_FAKE_KILLS` is at how many moments one is killed, a multiple of four.
"""

import os
import random
from pathlib import Path
from typing import Any

import pytest

from matrix.commands.patch import PatchResult
from matrix.commands.patch_request import PatchRequest
from matrix.commands.patch_resume import find_verdict_resumption, resume_verdict
from matrix.commands.settings import GivenSettings
from matrix.record.run_directory import REQUEST_FILE
from matrix.source.mbox.series import PatchSeries
from reports import write_verdict_reports
from tests.fakes.described_runs import describe_verdict
from tests.unit.commands.resume_desk import ResumedDesk
from tests.unit.commands.test_hidden_objects import BOTH, Veiled
from tests.unit.commands.test_patch import TESTER

KILLS = int(os.environ.get("KMATRIX_FAKE_KILLS", "24"))
NOTHING = PatchRequest(PatchSeries(()))
"""What is said beside ``--resume`` where nothing is."""


class ResumedJudge(Veiled, ResumedDesk):
    """A verdict with a fix that one of the compilers shows behind another error only, stopped on its way."""

    def __init__(self, place: Path) -> None:
        place.mkdir(exist_ok=True)
        super().__init__(place)

    def begin(self) -> PatchResult:
        result = self.judged(fixes=("F1",), tester=TESTER)
        write_verdict_reports(result.verdict, result.runs, result.tester)
        return result

    def go_on(
        self, spec: str = "latest", /, asked: PatchRequest = NOTHING, **options: list[str]
    ) -> PatchResult:
        self.kernel.jobs.clear()
        given = {name.replace("_", "-"): words for name, words in options.items()}
        settings = GivenSettings(given, self.variables)
        resumption = find_verdict_resumption(spec, settings, asked, self.world.runs)
        result = resume_verdict(resumption, self._tell, self.world)
        write_verdict_reports(result.verdict, result.runs, result.tester)
        return result

    def end(self) -> PatchResult:
        """Resume what there is, or begin where there is nothing."""
        return self.go_on() if list(self.world.runs.glob(f"*/{REQUEST_FILE}")) else self.begin()

    def describe(self, result: PatchResult) -> dict[str, Any]:
        code = (result.exit_code, result.tester, result.untested_reason)
        described = describe_verdict(result.runs[0].directory.parent, self.place)
        reports = sorted(path.name for path in result.runs[-1].directory.glob("*.*"))
        return {"code": code, "reports": reports} | described


class KilledJudge(ResumedJudge):
    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.asks('MODULES = ["n", "y"]\nVFIO = ["m", "y"]\n', BOTH)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    judge = KilledJudge(tmp_path_factory.mktemp("undisturbed"))
    result = judge.begin()
    assert judge.alone(), "nothing was looked through"
    return judge.describe(result)


@pytest.fixture(scope="module")
def accesses(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many accesses to files an undisturbed verdict takes."""
    judge = KilledJudge(tmp_path_factory.mktemp("counted"))
    return judge.count_accesses(judge.begin)


@pytest.mark.timeout(600)  # verdicts of two runs each, many where more kills are asked for
@pytest.mark.parametrize("group", range(4))
def test_a_verdict_that_was_killed_and_resumed_is_the_undisturbed_one(
    tmp_path: Path, undisturbed: dict[str, Any], accesses: int, group: int
) -> None:
    killed = 0
    for number in range(group, KILLS, 4):
        judge = KilledJudge(tmp_path / str(number))
        killed += judge.run_apart(judge.begin, accesses * number // KILLS)
        assert judge.describe(judge.end()) == undisturbed, number
    assert killed == KILLS // 4


def test_a_verdict_may_be_killed_again_while_it_is_resumed(
    tmp_path: Path, undisturbed: dict[str, Any], accesses: int
) -> None:
    chance = random.Random(1)
    for number in range(6):
        judge = KilledJudge(tmp_path / str(number))
        for _ in range(3):
            judge.run_apart(judge.end, chance.randrange(accesses))
        assert judge.describe(judge.end()) == undisturbed, number
