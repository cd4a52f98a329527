"""Settings and kept verdicts: whatever a word or a file holds is read, or refused in a sentence."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from matrix.commands.patch import find_verdict
from matrix.commands.settings import OPTIONS, format_environment_variable, resolve_profile
from matrix.errors import RequestError
from matrix.plan import check_plan
from tests.fakes.mutated import check_reader, json_mutations, mutations, pass_as_text, read_at

OLD_RUN = Path(__file__).parents[2] / "old_run"
VALID = {
    "arch": b"x86",
    "toolchain": b"gcc-14",
    "stage": b"focus",
    "jobs": b"4",
    "lanes": b"2",
    "select": b"KVM=y",
}
VALID |= {"source": b"debian:linux-source-6.12", "memory": b"4G", "timeout": b"30m", "deadline": b"2h"}
VALID |= {
    "cover": b"3",
    "retries": b"2",
    "fail-fast": b"yes",
    "werror": b"no",
    "fresh": b"yes",
    "verify": b"10%",
    "make": b"W=1",
    "ccache": b"no",
    "cache-size": b"2G",
    "images": b"localhost:5000/a",
}


@pytest.mark.parametrize("name", sorted(option.name for option in OPTIONS))
def test_any_word_of_an_option_and_its_variable(name: str) -> None:
    variable = format_environment_variable(name)

    def read(text: str) -> None:
        with suppress(RequestError):
            check_plan(resolve_profile({}, {variable: text}))
        check_plan(resolve_profile({name: [text, text]}, {}))

    valid = VALID.get(name, b"x")
    resolve_profile({}, {variable: valid.decode()})
    check_reader(pass_as_text(read), more=[mutations([valid])] * 3, examples=30)


def test_any_kept_verdict(tmp_path: Path) -> None:
    kept = tmp_path / "verdict"
    shutil.copytree(OLD_RUN, kept, ignore=shutil.ignore_patterns("golden"))
    file = kept / "after/verdict.json"
    valid = file.read_bytes()
    read = read_at(file, lambda: find_verdict(str(kept), tmp_path))
    check_reader(read, valid, more=[json_mutations([valid])] * 3, examples=150)
