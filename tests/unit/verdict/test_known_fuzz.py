"""A file of known issues: whatever it holds is read, or refused in a sentence."""

from pathlib import Path

from matrix.verdict.baseline import load_known_issues
from tests.fakes.mutated import check_reader, read_at

KNOWN = b"""[vfio-stub]
keys = ["k1", "k2"]
reason = "reported"
link = "https://lore.kernel.org/x"
expires = 2030-01-01
"""


def test_any_known_issues(tmp_path: Path) -> None:
    file = tmp_path / "known.toml"
    check_reader(read_at(file, lambda: load_known_issues(file)), KNOWN, examples=300)
