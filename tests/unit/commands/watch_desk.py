"""A branch that is watched, and the mailbox that is told: what tests of watching share."""

import mailbox
import subprocess
from contextlib import closing
from email.message import Message
from functools import partial
from pathlib import Path

from matrix.commands.compare import apply_baseline
from matrix.commands.settings import resolve_profile
from matrix.commands.watch import Look, look_at_branch
from matrix.commands.watch_news import hand_on_mail
from matrix.commands.watch_request import WatchRequest, parse_watch_request
from matrix.findings.stored_run import StoredRun
from matrix.verdict.baseline import Regression
from reports.baseline_view import BaselineView
from reports.mail_run import render_run_mail
from tests.fakes.host_git import git, run_on_host
from tests.fakes.kernel import Job
from tests.unit.commands.resume_desk import ResumedDesk
from tests.unit.commands.run_desk import TWO_LANES

SOURCE = "drivers/vfio/vfio.c"


def play_git(job: Job) -> int:
    """git on the host's repository, tar on the host's directories; what applies a patch takes its last line
    for the whole source."""
    places = {mount.path: mount.host for mount in job.container.mounts}
    if "/patches" in places:
        patch = next(job.host("/patches").iterdir()).read_text()
        (job.host("/work") / SOURCE).write_text(patch.rpartition("+")[2])
        return 0
    if "/in/tarball" not in places:
        return run_on_host(job.container, job.say)
    return subprocess.run(["tar", "-xf", places["/in/tarball"], "-C", places["/out"]], check=False).returncode


class WatchedDesk(ResumedDesk):
    """A desk whose tree is a repository, and is watched. ``mails`` is the mailbox that is told."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.mails = place / "mails"
        self.kernel.applies = play_git
        self.asks(TWO_LANES)
        git(self.tree, "init", "--quiet", "--initial-branch=master")
        self.commit("int vfio;\n")

    def commit(self, text: str, branch: str = "master") -> str:
        """Commit this as the source of vfio.o; the commit's id."""
        (self.tree / SOURCE).write_text(text)
        git(self.tree, "add", "--all")
        git(self.tree, "commit", "--quiet", "--allow-empty", f"--message={branch}")
        return git(self.tree, "rev-parse", "HEAD")

    def request(
        self, *, known: str = "", mail_to: str | None = None, fetch: str = "", **options: list[str]
    ) -> WatchRequest:
        given = self._settled({"source": [f"{self.tree}@master"], **options})
        to = str(self.mails) if mail_to is None else mail_to
        return parse_watch_request(resolve_profile(given, {}), "1h", fetch, known, to)

    def look(self, request: WatchRequest | None = None, *, hands_on: bool = True) -> Look:
        """One look, as the task has it; what is told of goes to the mailbox."""
        self.kernel.jobs.clear()
        request = request or self.request()
        self.seen = look_at_branch(request, ["./inv", "watch"], self._tell, self.world)
        if hands_on:
            self.hand_on(request)
        return self.seen

    def hand_on(self, request: WatchRequest) -> None:
        seen, self.result = self.seen, None
        if seen.stored is None:
            return
        seen.stored.write_findings()
        self.result = apply_baseline(seen.stored, seen.baseline) if seen.baseline else None
        if seen.is_complete:
            hand_on_mail(request, seen.stored, self.result, self.world.runs, partial(_render, seen.stored))

    def runs(self) -> list[Path]:
        return sorted(path.parent for path in self.world.runs.glob("2*/run.json"))

    def read_mails(self) -> list[Message]:
        if not self.mails.exists():
            return []
        with closing(mailbox.mbox(self.mails)) as box:
            return list(box)

    def subjects(self) -> list[str]:
        """The subjects of what is in the mailbox, without what they have in common."""
        prefix = "[kmatrix] Linux 6.12.48-rc1: "
        found = [" ".join(str(mail["Subject"]).split()) for mail in self.read_mails()]
        assert all(subject.startswith(prefix) for subject in found)
        return [subject.removeprefix(prefix) for subject in found]


def _render(stored: StoredRun, since: Regression | None) -> str:
    return render_run_mail(stored, since=BaselineView(since) if since else None)
