"""A kernel's make, played on the host's directories: the FakeEngine's handler for whole pipelines.

Its Kconfig is a table of symbols and its makefiles are a table of objects; what the compiler says of an
object is the test's to script. Like kbuild, it compiles an object again only when its source is newer or
a symbol that it sees has changed, lists what belongs to the configuration, and writes no list of a
directory in which something failed.
"""

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from matrix.engine.protocol import LABEL, ContainerResult, ContainerSpec, LineCallback
from matrix.kconfig.config import Config, format_fragment

Settings = dict[str, str]
Messages = Callable[[Settings], list[str]]
"""What the compiler says of an object in this configuration; ``error:`` in it fails the object."""


@dataclass(frozen=True)
class Symbol:
    """A symbol: its default, whether it has an m, and the symbol that it needs, if any."""

    default: str = "n"
    tristate: bool = False
    needs: str = ""


@dataclass(frozen=True)
class Made:
    """An object: the symbol that it belongs to, the symbols that its source looks at, what is said of it, the
    headers that its source includes (``/src/include/linux/vfio.h``), where its command fails whatever it
    says, and the directory whose Makefile names it, if that is another."""

    symbol: str
    sees: tuple[str, ...] = ()
    says: Messages = lambda _: []
    includes: tuple[str, ...] = ()
    fails: Callable[[Settings], bool] = lambda _: False
    folder: str = ""


@dataclass(frozen=True)
class Job:
    """One make, as the kernel sees it. ``variables`` are those of its command line."""

    container: ContainerSpec
    command: tuple[str, ...]
    say: LineCallback

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(word for word in self.command[3:] if not word.startswith("-") and "=" not in word)

    @property
    def variables(self) -> dict[str, str]:
        return dict(word.split("=", 1) for word in self.command if "=" in word and not word.startswith("-"))

    @property
    def parallel(self) -> int:
        """The N of its -jN."""
        return next(int(word[2:]) for word in self.command if word.startswith("-j"))

    @property
    def cell(self) -> str:
        return self.container.labels[f"{LABEL}.cell"]

    @property
    def is_dry_run(self) -> bool:
        """Whether it only prints what it would do."""
        return "-n" in self.command

    @property
    def configures(self) -> bool:
        return self.targets[0].endswith("config")

    def host(self, path: str) -> Path:
        """The host's directory behind ``/src`` or ``/build``."""
        return next(mount.host for mount in self.container.mounts if mount.path == path)


def quiet(_job: Job) -> None:
    """Nothing unusual happens."""


@dataclass
class Kernel:
    """The handler. ``before`` may do anything to a job; what it returns, unless None, ends the job.

    ``jobs`` has every make in the order of their start. ``applies`` plays the container that patches a tree;
    ``forks``, where there is one, a fork of conf: its number, and what the request asks for → what it makes
    of that, and its output.
    """

    symbols: Mapping[str, Symbol]
    objects: dict[str, Made]
    before: Callable[[Job], int | ContainerResult | None] = quiet
    applies: Callable[[Job], int] = lambda _: 0
    forks: Callable[[int, Settings], tuple[Settings, str]] | None = None
    jobs: list[Job] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, container: ContainerSpec, say: LineCallback) -> int | ContainerResult:
        """Play one container: make behind ``sh -c 'exec …'``, or the question for versions."""
        if not container.mounts:
            return _answer(container.command[4:], say)
        job = Job(container, container.command[4:], say)
        if container.command[0] == "bash":
            return self.applies(job)
        with self._lock:
            self.jobs.append(job)
        ended = self.before(job)
        if ended is not None:
            return ended
        return self._configure(job) if job.configures else self._build(job)

    def ran(self, *, configures: bool) -> list[Job]:
        """The jobs that configured, or those that built. A dry run and prepared headers are neither."""
        jobs = (job for job in self.jobs if not job.is_dry_run and job.targets != ("prepare",))
        return [job for job in jobs if job.configures == configures]

    def _configure(self, job: Job) -> int:
        place = job.host("/build") / ".config"
        if self.forks is not None and "conf_forks.so" in job.container.command[2]:
            self._fork(job.host("/build"), self.forks)
        asked = _settings(place) if job.targets == ("olddefconfig",) else {}
        place.write_text(format_fragment(self._normal(asked)))
        return 0

    def _fork(self, build: Path, forks: Callable[[int, Settings], tuple[Settings, str]]) -> None:
        (build / ".configured.out").touch()
        for number in range(len([*build.glob(".configure-*")])):
            request = build / f".configure-{number}"
            made, printed = forks(number, self._normal(_settings(request)))
            request.unlink()
            if made:
                (build / f".configured-{number}").write_text(format_fragment(made))
            (build / f".configured-{number}.out").write_text(printed)

    def _normal(self, asked: Settings) -> Settings:
        """conf's answer: symbols in their order, each bounded by what it needs and by MODULES."""
        settled: Settings = {}
        for name, symbol in self.symbols.items():
            value = asked.get(name, symbol.default)
            if symbol.needs and settled[symbol.needs] == "n":
                value = "n"
            if value == "m" and not (symbol.tristate and settled["MODULES"] == "y"):
                value = "y"
            settled[name] = value
        return settled

    def _build(self, job: Job) -> int:
        config = _settings(job.host("/build") / ".config")
        good = [self._target(job, target, config) for target in job.targets]
        if all(good):
            return 0
        job.say("make: *** [Makefile:224: __sub-make] Error 2")
        return 2

    def _target(self, job: Job, target: str, config: Settings) -> bool:
        if target == "prepare":
            return True
        chosen = self._choose(target, config)
        if job.is_dry_run:
            self._print_recipes(job, target, chosen, config)
            return True
        made = [self._object(job, name, config) for name in chosen]  # all of them: make -k
        if not all(made):
            return False
        if not target.endswith(".o"):
            _write_lists(job.host("/build"), target, chosen)
        return True

    def _choose(self, target: str, config: Settings) -> Settings:
        """The objects of a target in this configuration, each with the value of its symbol."""
        kinds = {"vmlinux": "y", "modules": "m"}.get(target, "ym")
        below = "" if target in {"vmlinux", "modules"} else target
        return {
            name: config[made.symbol]
            for name, made in self.objects.items()
            if (made.folder or name).startswith(below) and config.get(made.symbol, "n") in kinds
        }

    def _print_recipes(self, job: Job, target: str, chosen: Settings, config: Settings) -> None:
        """What make -n prints: the recipes of what is out of date, and of the lists."""
        for name in chosen:
            if not self._is_current(job, name, config):
                job.say(f"set -e;  echo '  CC      {name}'; gcc -c -o {name} /src/{name[:-2]}.c")
        folder = "" if target in {"vmlinux", "modules"} else target
        built_in = " ".join(name for name, value in chosen.items() if value == "y")
        archive = "vmlinux.a" if target == "vmlinux" else f"{folder}built-in.a"
        if target != "modules":
            job.say(f'rm -f {archive};  printf "./%s " {built_in} | xargs ar cDPrST {archive}')
        order = "".join(f" echo {name};" for name, value in chosen.items() if value == "m")
        job.say(f"{{ {order} :; }} > {folder}modules.order")

    def _object(self, job: Job, name: str, config: Settings) -> bool:
        if self._is_current(job, name, config):
            return True
        (job.host("/build") / name).unlink(missing_ok=True)
        return self._compile(job, name, config)

    def _is_current(self, job: Job, name: str, config: Settings) -> bool:
        made, place = self.objects[name], job.host("/build") / name
        read = [job.host("/src") / name.replace(".o", ".c")]
        read += [job.host("/src") / word.removeprefix("/src/") for word in made.includes]
        times = [path.stat().st_mtime_ns for path in read]
        is_new = place.exists() and place.stat().st_mtime_ns > max(times)
        return is_new and place.read_text() == self._content(job, name, config)

    def _content(self, job: Job, name: str, config: Settings) -> str:
        made = self.objects[name]
        values = [(symbol, config.get(symbol, "n")) for symbol in (made.symbol, *made.sees)]
        return repr([job.variables.get("KCFLAGS", ""), *values])

    def _compile(self, job: Job, name: str, config: Settings) -> bool:
        flags = job.variables.get("KCFLAGS", "").split()
        said = [_demote(line, flags) for line in self.objects[name].says(config)]
        for line in (f"  CC      {name}", *said):
            job.say(line)
        if any("error:" in line for line in said) or self.objects[name].fails(config):
            job.say(f"make[3]: *** [/src/scripts/Makefile.build:229: {name}] Error 1")
            return False
        place = job.host("/build") / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(self._content(job, name, config))
        self._write_dependencies(place, name)
        return True

    def _write_dependencies(self, place: Path, name: str) -> None:
        source = f"/src/{name.removesuffix('.o')}.c"
        made = self.objects[name]
        symbols = (f"$(wildcard include/config/{symbol})" for symbol in (made.symbol, *made.sees))
        deps = "".join(f"  {word} \\\n" for word in (*made.includes, *symbols))
        text = f"savedcmd_{name} := gcc -c -o {name} {source}\n\nsource_{name} := {source}\n\n"
        (place.parent / f".{place.name}.cmd").write_text(f"{text}deps_{name} := \\\n{deps}\n")


def _demote(line: str, flags: list[str]) -> str:
    """An error as the compiler prints it with these flags: as a warning, if one of them demotes it."""
    match = _PROMOTED.search(line)
    if match is None or f"-Wno-error={match[1]}" not in flags:
        return line
    return f"{line[: match.start()]}[-W{match[1]}]".replace(" error: ", " warning: ")


_PROMOTED = re.compile(r"\[-Werror(?:=|,-W)([^\]]+)\]$")


def _settings(place: Path) -> Settings:
    return dict(Config.parse(place.read_text()))


def _answer(questions: tuple[str, ...], say: LineCallback) -> int:
    for question in questions:
        say(f"{question.split()[0]} (fake) 14.2.0")
    return 0


def _write_lists(build: Path, target: str, chosen: Settings) -> None:
    folder = build if target in {"vmlinux", "modules"} else build / target
    folder.mkdir(parents=True, exist_ok=True)
    modules = [name for name, value in chosen.items() if value == "m"]
    for name in modules:
        (build / name).with_suffix(".mod").write_text(f"{name}\n")
    if target != "modules":
        built_in = [os.path.relpath(name, target if target != "vmlinux" else ".") for name in chosen]
        built_in = [name for name, value in zip(built_in, chosen.values(), strict=True) if value == "y"]
        (folder / ("vmlinux.a" if target == "vmlinux" else "built-in.a")).write_bytes(thin_archive(built_in))
    if target != "vmlinux":
        (folder / "modules.order").write_text("".join(f"{name}\n" for name in modules))


def thin_archive(names: list[str]) -> bytes:
    """A thin archive's magic and name table: all that says what belongs to it."""
    table = "".join(f"{name}/\n" for name in names).encode()
    header = b"//".ljust(48) + str(len(table)).encode().ljust(10) + b"`\n"
    return b"!<thin>\n" + (header + table if names else b"")
