"""Whether Dask is there: kmatrix does without it, as long as nobody asks for a cluster."""

from importlib.util import find_spec

from matrix.errors import RequestError


def require_dask() -> None:
    """RequestError, with what to install, where there is no Dask."""
    if find_spec("distributed") is None:
        raise RequestError(
            "many machines need Dask, which is not installed", ".venv/bin/pip install 'distributed>=2026.8'"
        )
