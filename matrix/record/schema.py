"""The published JSON Schema of ``run.json``, made from the types that write and read it.

``python -m matrix.record.schema`` writes it anew after the types have changed.
"""

import json
from pathlib import Path
from typing import Any

from matrix.fs import write_atomically
from matrix.record.run_model import Record, Run

RUN_SCHEMA_FILE = Path(__file__).with_name("run.schema.json")


def build_schema(model: type[Record], title: str, description: str) -> dict[str, Any]:
    """A file's schema as a value: JSON Schema, draft 2020-12. Unknown keys are allowed everywhere."""
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
    }
    made = model.model_json_schema(by_alias=True, mode="serialization")
    # The number has a default for those who make a value, but a file without it is nobody's.
    return {**made, **about, "required": ["schema", *made["required"]]}


def build_run_schema() -> dict[str, Any]:
    """The schema of ``run.json``."""
    about = "One execution of a profile on one source: what was asked for, and what came out."
    return build_schema(Run, "kmatrix run.json", about)


def write_schema(schema: dict[str, Any], path: Path) -> None:
    """Write a schema, keys in alphabetical order. DiskFullError when there is no space for it."""
    write_atomically(path, json.dumps(schema, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    write_schema(build_run_schema(), RUN_SCHEMA_FILE)
