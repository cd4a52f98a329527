"""What ``watch`` is asked for: a branch, how often it is looked at, and who hears of what is new."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.types import Profile, check_duration, parse_duration
from matrix.commands.mail_delivery import MailTarget, parse_mail_target
from matrix.errors import RequestError
from matrix.fs import create_private_directory, try_lock_path
from matrix.record.profile_keys import FREE_KEYS
from matrix.source.spec import RevisionSpec, parse_source_spec
from matrix.user_files import expand_user_path
from matrix.verdict.baseline import load_known_issues


@dataclass(frozen=True)
class WatchRequest:
    """A branch that is watched: ``profile`` is built of it, its source by its whole path.

    ``seconds`` from one look to the next; ``remote``: what git fetches before each, or empty; ``known``: the
    file of known findings, or empty.
    """

    profile: Profile
    source: RevisionSpec
    seconds: int
    remote: str = ""
    known: str = ""
    mail: MailTarget | None = None

    @property
    def record(self) -> dict[str, object]:
        """The profile as a run records it."""
        return self.profile.model_dump(mode="json", by_alias=True)

    @property
    def name(self) -> str:
        """A name that another request does not have."""
        keys = {key: value for key, value in self.record.items() if key not in FREE_KEYS}
        return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:12]


def parse_watch_request(profile: Profile, every: str, remote: str, known: str, mail_to: str) -> WatchRequest:
    """RequestError for what would be wrong at every look."""
    source = parse_source_spec(profile.source)
    if not isinstance(source, RevisionSpec):
        raise RequestError(
            f"only a branch can be watched, and the source is {profile.source}",
            "name it as DIR@BRANCH: --source /srv/linux@origin/master",
        )
    if remote.startswith("-"):
        raise RequestError(f"--fetch {remote!r} names no remote", "for example --fetch origin")
    source = RevisionSpec(source.path.absolute(), source.revision)
    if known:
        known = str(expand_user_path(known).absolute())
        load_known_issues(Path(known))
    spec = f"{source.path}@{source.revision}"
    return WatchRequest(
        # The runs of one request are found by their profile: from whatever directory, it is the same.
        profile.model_copy(update={"source": spec, "out": None}),
        source,
        _parse_interval(every),
        remote,
        known,
        parse_mail_target(mail_to),
    )


def _parse_interval(text: str) -> int:
    try:
        return parse_duration(check_duration(text))
    except ValueError as error:
        raise RequestError(f"--every: {error}", "for example --every 1h") from error


@contextmanager
def hold_watch(request: WatchRequest, runs: Path) -> Iterator[None]:
    """Keep every other watch of the same request out while the ``with`` block runs: RequestError where there
    is one. The lock ends with the process."""
    create_private_directory(runs)
    with try_lock_path(runs / f".watch-{request.name}.lock") as is_free:
        if not is_free:
            raise RequestError(
                f"{request.profile.source} is watched already, with the same profile",
                "end that watch first, or let it work",
            )
        yield
