"""The published JSON Schema of ``verdict.json``, made from the types that write it.

``python -m matrix.verdict.schema`` writes it anew after the types have changed.
"""

from pathlib import Path
from typing import Any

from matrix.record.schema import build_schema, write_schema
from matrix.verdict.verdict_model import Verdict

VERDICT_SCHEMA_FILE = Path(__file__).with_name("verdict.schema.json")


def build_verdict_schema() -> dict[str, Any]:
    """The schema of ``verdict.json``."""
    about = "Two runs, before and after, compared cell by cell and finding by finding."
    return build_schema(Verdict, "kmatrix verdict.json", about)


if __name__ == "__main__":
    write_schema(build_verdict_schema(), VERDICT_SCHEMA_FILE)
