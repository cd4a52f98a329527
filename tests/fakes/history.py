"""A kernel tree as a git history to bisect: the story's regression among commits that answer nothing."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

HEADER = "include/linux/vfio.h"
KCONFIG = "arch/powerpc/kvm/Kconfig"
NOTES = "NOTES"
CULPRIT = "The stub is static"
Change = Callable[[str], str]


class History:
    """Git over a tree; only the files that its commits change are tracked, as nothing else is checked out."""

    def __init__(self, tree: Path, regression: Path) -> None:
        self.tree = tree
        (tree / NOTES).write_text("A history.\n")
        self.git("init", "--quiet")
        self.commit("Good", (NOTES, str), (HEADER, str), (KCONFIG, str))
        self.commit("Notes", (NOTES, lambda text: f"{text}More.\n"))
        self.commit("KVM needs MODULES", (KCONFIG, _with_modules))
        self.commit("KVM does not need MODULES", (KCONFIG, lambda text: text.replace(" && MODULES", "")))
        self.commit("Another breakage", (HEADER, lambda text: f'#error "another"\n{text}'))
        self.commit("It is mended", (HEADER, lambda text: text.removeprefix('#error "another"\n')))
        self.git("apply", str(regression))
        self.commit(CULPRIT, (HEADER, str))
        self.commit("More notes", (NOTES, lambda text: f"{text}Even more.\n"))
        self.commit("The last notes", (NOTES, lambda text: f"{text}The end.\n"))
        lines = self.git("log", "--reverse", "--format=%H %s").splitlines()
        self.commits = {subject: commit for commit, _, subject in (line.partition(" ") for line in lines)}
        """Subject → commit, the oldest first."""

    def commit(self, subject: str, *changes: tuple[str, Change]) -> None:
        for name, change in changes:
            path = self.tree / name
            text = change(path.read_text())
            # The tree shares its files with others: a changed one must become a file of its own.
            path.unlink()
            path.write_text(text)
        self.git("add", "--force", "--", *(name for name, _ in changes))
        self.git("commit", "--quiet", "--message", subject)

    def checkout(self, subject: str) -> None:
        self.git("checkout", "--quiet", self.commits[subject])

    def bisect(self, *command: str, good: str = "Good") -> str:
        """What ``git bisect run`` says of the history since the commit ``good``."""
        *_, last = self.commits.values()
        self.git("bisect", "start", last, self.commits[good])
        return self.git("bisect", "run", *command)

    def git(self, *words: str) -> str:
        who = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org"}
        who |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in who.items()}
        # Without the ceiling, git would take a tree below a checkout for a part of it.
        environment = {**os.environ, **who, "GIT_CEILING_DIRECTORIES": str(self.tree.parent)}
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", *words],
            cwd=self.tree,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"git {words}: {done.stdout}{done.stderr}"
        return done.stdout


def _with_modules(text: str) -> str:
    changed = re.sub(
        r"(config KVM_BOOK3S_64\n(?:.*\n)*?.*depends on PPC_BOOK3S_64)\n", r"\1 && MODULES\n", text, count=1
    )
    assert changed != text
    return changed
