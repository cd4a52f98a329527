"""The log of a build: no line makes its parser raise an error."""

from pathlib import Path

from matrix.diagnostics.log_parser import parse_build_log, parse_diagnostics
from tests.fakes.mutated import check_reader

LOGS = [path.read_bytes()[:4000] for path in sorted((Path(__file__).parents[2] / "logs").glob("*.log"))]


def test_any_log() -> None:
    def read(content: bytes) -> None:
        lines = content.decode("utf-8", "replace").split("\n")
        for found in parse_diagnostics(lines):
            assert found.diagnostic.key
        parse_build_log(lines, failed=True)

    check_reader(read, *LOGS, examples=400)
