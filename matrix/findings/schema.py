"""The published JSON Schema of ``findings.json``, made from the types that write it.

``python -m matrix.findings.schema`` writes it anew after the types have changed.
"""

from pathlib import Path
from typing import Any

from matrix.findings.finding import Findings
from matrix.record.schema import build_schema, write_schema

FINDINGS_SCHEMA_FILE = Path(__file__).with_name("findings.schema.json")


def build_findings_schema() -> dict[str, Any]:
    """The schema of ``findings.json``."""
    about = "What fails in a run, under which condition, with which proof. Derived from run.json."
    return build_schema(Findings, "kmatrix findings.json", about)


if __name__ == "__main__":
    write_schema(build_findings_schema(), FINDINGS_SCHEMA_FILE)
