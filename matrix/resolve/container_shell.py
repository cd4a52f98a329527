"""The shell that runs a container's command, reports on its end, and may have its programs load libraries."""

from collections.abc import Iterable
from pathlib import Path

from matrix.resolve.container_report import REPORTING_SHELL


def build_shell(libraries: Iterable[Path] = ()) -> tuple[str, ...]:
    """The reporting shell. It first compiles these C sources of kmatrix's, for all programs to preload.

    Whichever host compiler the image has will do; without one, or where it fails, they run as ever.
    """
    kind, option, script, name = REPORTING_SHELL
    return kind, option, "".join(map(_format_compilation, libraries)) + script, name


def _format_compilation(source: Path) -> str:
    library = f"/tmp/{source.stem}.so"  # noqa: S108 - the container's own
    return f"""for cc in cc gcc clang
do
    "$cc" -x c -O1 -shared -fPIC -o {library} - 2>/dev/null <<'END_OF_SOURCE' && break
{source.read_text(encoding="utf-8")}
END_OF_SOURCE
    rm -f {library}
done
[ -e {library} ] && export LD_PRELOAD="{library}${{LD_PRELOAD:+:$LD_PRELOAD}}"
"""
