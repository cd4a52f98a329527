"""What HTML and Markdown have in common: Jinja2, strict, and deaf to control characters."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.formatting import clean_text

# Log lines come here cut already; commands and paths are longer and must stay whole.
_MAX_VALUE_LENGTH = 8000


def create_jinja_environment(*, escape: bool) -> Environment:
    """Templates of ``reports/templates``; an unknown name is an error, and so is none at all."""
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
    foreign = isinstance(value, str) and not isinstance(value, Markup)
    return clean_text(str(value), _MAX_VALUE_LENGTH) if foreign else value
