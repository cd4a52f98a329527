"""What engines that speak Docker's API do each in their own way. Docker's own way is the plain `Dialect`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from matrix.engine.protocol import ContainerSpec


@dataclass(frozen=True)
class Dialect:
    """Docker's own way.

    ``clients`` are the programs that can put a container on a terminal, the best first. ``tells_oom``: a
    container's state tells that a process of it was killed for memory.
    """

    name: str = "docker"
    clients: tuple[str, ...] = ("docker",)
    client_package: str = "docker-cli (before Debian 13: docker.io)"
    tells_oom: bool = True

    def check_container(self, container: ContainerSpec) -> None:
        """Raise EngineError where the engine would make something else of it than is meant."""

    @contextmanager
    def adapt_request(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """A create request as the engine takes it, for as long as it may read it."""
        yield body

    def shorten_tag(self, tag: str) -> str:
        """A tag as it was given, out of the engine's list of images."""
        return tag

    def format_pull(self, version: str, repository: str, tag: str) -> str:
        """The path to post to, which fetches an image. ``tag`` may be a digest, ``version`` is the API's."""
        return f"/v{version}/images/create?{urlencode({'fromImage': repository, 'tag': tag})}"

    def format_push(self, version: str, repository: str, tag: str) -> str:
        """The path to post to, which gives an image to its registry."""
        return f"/v{version}/images/{quote(repository, safe='/:')}/push?{urlencode({'tag': tag})}"

    def format_preparation(self, container_id: str) -> str:
        """The path to post to, which makes a container's first process and starts nothing; or nothing."""
        del container_id
        return ""
