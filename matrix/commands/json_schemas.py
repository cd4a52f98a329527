"""The published JSON Schemas of a run's files, made from the types that write and read those files.

``python -m matrix.commands.json_schemas`` writes them anew after the types have changed.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrix.findings.finding import Findings
from matrix.fs import write_atomically
from matrix.record.run_model import Record, Run
from matrix.verdict.verdict_model import Verdict

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class PublishedSchema:
    """The schema of one file, and where it lies."""

    file: str
    model: type[Record]
    path: Path
    description: str

    def build(self) -> dict[str, Any]:
        """The schema as a value: JSON Schema, draft 2020-12. Unknown keys are allowed everywhere."""
        schema = self.model.model_json_schema(by_alias=True, mode="serialization")
        return {
            **schema,
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": f"kmatrix {self.file}",
            "description": self.description,
            # The number has a default in the type, but a file without it belongs to no version.
            "required": ["schema", *schema["required"]],
        }

    def render(self) -> str:
        """The text of the schema's file, keys in alphabetical order."""
        return json.dumps(self.build(), indent=2, sort_keys=True) + "\n"


RUN_SCHEMA = PublishedSchema(
    "run.json",
    Run,
    _PACKAGE / "record/run.schema.json",
    "One execution of a profile on one source: what was asked for, and what came out.",
)
FINDINGS_SCHEMA = PublishedSchema(
    "findings.json",
    Findings,
    _PACKAGE / "findings/findings.schema.json",
    "What fails in a run, under which condition, with which proof. Derived from run.json.",
)
VERDICT_SCHEMA = PublishedSchema(
    "verdict.json",
    Verdict,
    _PACKAGE / "verdict/verdict.schema.json",
    "Two runs, before and after, compared cell by cell and finding by finding.",
)
PUBLISHED_SCHEMAS = (RUN_SCHEMA, FINDINGS_SCHEMA, VERDICT_SCHEMA)


if __name__ == "__main__":
    for published in PUBLISHED_SCHEMAS:
        write_atomically(published.path, published.render())
