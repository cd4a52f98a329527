"""What HTML and Markdown have in common: Jinja2, strict, and deaf to control characters."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports.text import clean

# Log lines come here cut already; commands and paths are longer and must stay whole.
_LONGEST = 8000


def environment(*, escape: bool) -> Environment:
    """Templates of ``reports/templates``; an unknown name is an error, and so is none at all."""
    return Environment(
        loader=PackageLoader("reports"),
        autoescape=escape,  # noqa: S701 - Markdown escapes in its own way
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _finalize(value: object) -> object:
    foreign = isinstance(value, str) and not isinstance(value, Markup)
    return clean(str(value), _LONGEST) if foreign else value
