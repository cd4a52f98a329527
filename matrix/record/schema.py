"""The published JSON Schema of ``run.json``, made from the types that write and read it.

``python -m matrix.record.schema`` writes it anew after the types have changed.
"""

import json
from pathlib import Path
from typing import Any

from matrix.record.files import write_whole
from matrix.record.model import Run

PUBLISHED = Path(__file__).with_name("run.schema.json")


def run_schema() -> dict[str, Any]:
    """The schema as a value: JSON Schema, draft 2020-12. Unknown keys are allowed everywhere."""
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "kmatrix run.json",
        "description": "One execution of a profile on one source: what was asked for, and what came out.",
    }
    made = Run.model_json_schema(by_alias=True, mode="serialization")
    # The number has a default for those who make a Run, but a file without it is nobody's.
    return {**made, **about, "required": ["schema", *made["required"]]}


def publish(path: Path = PUBLISHED) -> None:
    """Write the schema, keys in alphabetical order. DiskFullError when there is no space for it."""
    write_whole(path, json.dumps(run_schema(), indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    publish()
