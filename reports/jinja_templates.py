"""HTML and Markdown pages: their templates, and what escapes foreign text in them."""

import re
from functools import cache
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from matrix.foreign_text import clean_text
from matrix.record.run_model import RequestedCell
from reports import summary
from reports.formatting import format_count, format_duration
from reports.grid import find_spans
from reports.markdown_text import (
    MAX_VALUE_LENGTH,
    escape_markdown,
    escape_table_cell,
    format_code_span,
    format_fence,
)
from reports.style import STATE_SIGNS, select_states


@cache
def load_html_template(name: str) -> Template:
    """A page's template, with what all pages are given."""
    environment = _create_environment(escape=True)
    environment.filters |= {
        "anchor": format_anchor,
        "fragment": quote_anchor,
        "link": format_relative_url,
        "duration": format_duration,
    }
    environment.globals |= {
        "title": summary.format_diagnostic_title,
        "spans": find_spans,
        "plural": format_count,
        "signs": STATE_SIGNS,
        "select_states": select_states,
    }
    return environment.get_template(name)


@cache
def load_markdown_template(name: str) -> Template:
    """A text's template, with what all of them are given."""
    environment = _create_environment(escape=False)
    environment.filters |= {"text": escape_markdown, "cell": escape_table_cell, "code": format_code_span}
    environment.globals |= {"plural": format_count, "fence": format_fence}
    return environment.get_template(name)


def _create_environment(*, escape: bool) -> Environment:
    """Templates of ``reports/templates``. A name that a template is not given is an error."""
    return Environment(
        loader=PackageLoader("reports"),
        autoescape=escape,  # noqa: S701 - Markdown escapes in its own way
        undefined=StrictUndefined,
        finalize=_clean_foreign_value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _clean_foreign_value(value: object) -> object:
    """Every value that a template prints comes through here: none can bring control characters."""
    foreign = isinstance(value, str) and not isinstance(value, Markup)
    return clean_text(str(value), MAX_VALUE_LENGTH) if foreign else value


def format_anchor(cell: RequestedCell) -> str:
    """The cell's id as an HTML id: the same, but for blanks, which an id may not have."""
    return re.sub(r"\s", "_", clean_text(cell.id))


def quote_anchor(cell: RequestedCell) -> str:
    """What stands behind ``#`` in a link to the cell."""
    return quote(format_anchor(cell), safe="/=,+@~:")


def format_relative_url(path: str) -> str:
    """A path inside the run as a relative URL; never an absolute one, whatever it contains."""
    return "./" + quote(clean_text(path, 4000).lstrip("/"), safe="/=,+@~")
