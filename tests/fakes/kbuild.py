"""A kernel's make that reads the tree: Kconfig, makefiles, sources, headers, and kbuild's own files.

Its Kconfig has symbols with a type, a default and what they depend on. Its makefiles have lists and flags,
``$(CONFIG_X)`` in their names, and rules without recipes. Like kbuild it compares command lines and time
stamps and nothing else: an object that is newer than all that its .cmd file names stands, whatever is in it.
"""

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matrix.builder.kbuild_objects import parse_archive_members
from matrix.engine.protocol import ContainerResult
from matrix.errors import EngineError
from matrix.kconfig.config import Config
from tests.fakes.compiler import Compilation, compile_source
from tests.fakes.kernel import Job, Kernel, Settings, Symbol, thin_archive

_VARIABLE = re.compile(r"\$\((\w+)\)")
_ASSIGNMENT = re.compile(r"([\w.-]+)\s*(?::=|\+=|=)\s*(.*)")
_RULE = re.compile(r"\$\(obj\)/(\S+): (.+)")
_PREPARED = {"prepare", "prepare0", "modules_prepare", "scripts"}
_EXPORTED = re.compile(r"^__export_symbol_(\w+)", re.MULTILINE)
_UNVERSIONED = (
    'WARNING: modpost: EXPORT symbol "{}" [vmlinux] version generation failed, symbol will not be versioned.'
)
_FAILED = "make[3]: *** [/src/scripts/Makefile.build:229: {}] Error 1"
_HALF = "half an obj"
AUTO_CONF, BOUNDS = "include/config/auto.conf", "include/generated/bounds.h"


class KilledError(Exception):
    """The container is killed here."""


class TreeKernel(Kernel):
    """The handler. ``stale`` names each object that make let stand though a compilation gives another.

    ``killed`` are the cells over which a container was killed. ``patches``: a patch's text → what it makes of
    files (None: gone).
    """

    def __init__(self) -> None:
        super().__init__({}, {}, applies=self._apply)
        self.stale: list[str] = []
        self.killed: list[str] = []
        self.patches: dict[str, Mapping[str, str | None]] = {}
        self._kill_after: int | None = None
        self._ending = ""

    def arm(self, compilations: int | None, ending: str) -> None:
        """Kill a container after so many compilations, in the middle of the next; None: none.

        ``ending``: as at a time limit (``time``), with the engine (``engine``), or without a reason.
        """
        self._kill_after, self._ending = compilations, ending

    def _apply(self, job: Job) -> int:
        for file in sorted(job.host("/patches").iterdir()):
            put_files(job.host("/work"), self.patches[file.read_text()])
        return 0

    def _configure(self, job: Job) -> int:
        self.symbols = read_symbols((job.host("/src") / "Kconfig").read_text())
        return super()._configure(job)

    def _build(self, job: Job) -> int | ContainerResult:  # type: ignore[override]
        let_clock_tick(job.host("/build"))
        try:
            return _Make(self, job).run()
        except KilledError:
            self.killed.append(job.cell)
            if self._ending == "engine":
                raise EngineError("the daemon is gone") from None
            return ContainerResult(exit=137, seconds=0.1, timed_out=self._ending == "time")
        finally:
            let_clock_tick(job.host("/build"))

    def count_compilation(self) -> None:
        """KilledError where the container is killed in the middle of this one."""
        if self._kill_after is not None:
            self._kill_after -= 1
            if self._kill_after < 0:
                self._kill_after = None
                raise KilledError


def put_files(root: Path, files: Mapping[str, str | None]) -> None:
    """Write these files, or remove them."""
    for name, text in files.items():
        if text is None:
            (root / name).unlink(missing_ok=True)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)


def let_clock_tick(directory: Path) -> None:
    """Return when a new file gets a later time than any that is there.

    Builds take seconds, where the clock of files ticks in milliseconds; this one takes less than a tick.
    """
    times: set[int] = set()
    while len(times) < 2:
        (directory / ".tick").write_text("")
        times.add((directory / ".tick").stat().st_mtime_ns)
        (directory / ".tick").unlink()


def read_symbols(text: str) -> dict[str, Symbol]:
    """The symbols of a Kconfig file."""
    symbols: dict[str, Symbol] = {}
    for block in re.split(r"^config ", text, flags=re.MULTILINE)[1:]:
        name, *lines = block.splitlines()
        words = {line.split()[0]: line.split()[-1] for line in lines if line.strip()}
        symbols[name] = Symbol(words.get("default", "n"), "tristate" in words, words.get("depends", ""))
    return symbols


@dataclass
class _Makefile:
    """A makefile in one configuration: its lists by name, and the prerequisites of its rules.

    ``inherited``: the flags that the makefiles above have for all below them.
    """

    folder: str
    inherited: list[str] = field(default_factory=list)
    lists: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    rules: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def parse(cls, folder: str, text: str, config: Mapping[str, str]) -> "_Makefile":
        made = cls(folder)

        def give_value(match: re.Match[str]) -> str:
            places = {"obj": folder, "src": f"/src/{folder}", "KCONFIG_CONFIG": ".config"}
            name = match[1]
            value = config.get(name.removeprefix("CONFIG_"), "n")
            return places.get(name) or ("" if value == "n" else value)

        for line in text.splitlines():
            plain = _VARIABLE.sub(give_value, line)
            if match := _ASSIGNMENT.fullmatch(plain):
                made.lists[match[1]] += match[2].split()
            elif rule := _RULE.fullmatch(line):
                made.rules[f"{folder}/{rule[1]}"] += _VARIABLE.sub(give_value, rule[2]).split()
        return made

    def list_members(self, kind: str) -> list[str]:
        """The members of obj-y or obj-m, paths relative to the build directory."""
        return [f"{self.folder}/{name}" for name in dict.fromkeys(self.lists[f"obj-{kind}"])]

    def list_parts(self, name: str) -> list[str]:
        """What a composite object is made of; nothing where it has a source of its own."""
        stem = posixpath.basename(name).removesuffix(".o")
        parts = [*self.lists[f"{stem}-y"], *self.lists[f"{stem}-m"], *self.lists[f"{stem}-objs"]]
        return [f"{self.folder}/{part}" for part in dict.fromkeys(parts)]

    def list_flags(self, name: str) -> list[str]:
        own = [*self.lists["ccflags-y"], *self.lists[f"CFLAGS_{posixpath.basename(name)}"]]
        return [*self.inherited, *self.lists["subdir-ccflags-y"], *own]


@dataclass
class _Built:
    """What a directory's lists are made of: objects, and lists of directories below.

    ``sound``, ``loadable``: whether all was made that built-in.a, and modules.order, need.
    """

    archive: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    sound: bool = True
    loadable: bool = True


class _Make:
    """One make in one build directory."""

    def __init__(self, kernel: TreeKernel, job: Job) -> None:
        self.kernel, self.job, self.say = kernel, job, job.say
        self.src, self.build = job.host("/src"), job.host("/build")
        self.config: Settings = {}
        self.failed = False

    def run(self) -> int:
        if self._prepare():
            for target in self.job.targets:
                self._make_target(target)
        if self.failed:
            self.say("make: *** [Makefile:224: __sub-make] Error 2")
            return 2
        return 0

    # Files, by the names that the compiler has for them.

    def _locate(self, name: str) -> Path:
        return self.src / name.removeprefix("/src/") if name.startswith("/src/") else self.build / name

    def _read(self, name: str) -> str | None:
        path = self._locate(name)
        return path.read_text() if path.is_file() else None

    def _stamp(self, name: str) -> int | None:
        try:
            return self._locate(name).stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _write(self, name: str, text: str | bytes) -> None:
        path = self._locate(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    def _is_older(self, name: str, prerequisites: Iterable[str]) -> bool:
        """Whether make has to make it again: it is missing, older than one of them, or one is missing."""
        own = self._stamp(name)
        stamps = [self._stamp(other) for other in prerequisites]
        return own is None or any(stamp is None or stamp > own for stamp in stamps)

    # What is made for every target.

    def _prepare(self) -> bool:
        if self.job.is_dry_run:
            self.config = _parse_settings(self._read(AUTO_CONF) or "")
            return True
        self._sync_config()
        ready = self._make_tool() and self._make_bounds()
        if ready:
            self._check_syscalls()
        self.failed |= not ready
        return ready

    def _sync_config(self) -> None:
        """Like conf --syncconfig: touch include/config/X for each X that has another value."""
        text = self._read(".config") or ""
        if self._is_older(AUTO_CONF, [".config", "/src/Kconfig"]):
            self.say(f"  SYNC    {AUTO_CONF}")
            before, after = _parse_settings(self._read(AUTO_CONF) or ""), _parse_settings(text)
            for name in before.keys() | after.keys():
                if before.get(name, "n") != after.get(name, "n"):
                    self._write(f"include/config/{name}", "")
            self._write(AUTO_CONF, text)
            self._write("include/generated/autoconf.h", text)
        self.config = _parse_settings(self._read(AUTO_CONF) or "")

    def _make_tool(self) -> bool:
        command = "gcc -Wunused-variable -o scripts/tool /src/scripts/tool.c"
        return self._compile("scripts/tool", "/src/scripts/tool.c", command, "HOSTCC ")

    def _make_bounds(self) -> bool:
        top = self._read_makefile("")
        command = self._format_command("kernel/bounds.s", "/src/kernel/bounds.c", top.lists["KBUILD_CFLAGS"])
        if not self._compile("kernel/bounds.s", "/src/kernel/bounds.c", command, "CC     "):
            return False
        text = f"#define BOUND {self._read('kernel/bounds.s')}\n"
        if self._read(BOUNDS) != text:
            self.say(f"  UPD     {BOUNDS}")
            self._write(BOUNDS, text)
        return True

    def _check_syscalls(self) -> None:
        self.say("  CALL    /src/scripts/checksyscalls.sh")
        for name in (self._read("/src/scripts/checksyscalls.sh") or "").split()[1:]:
            if self.config.get(name, "y") != "n":
                self.say(f"<stdin>:1:2: warning: #warning syscall {name} not implemented [-Wcpp]")

    # Targets.

    def _make_target(self, target: str) -> None:
        if target in _PREPARED:
            return
        if target.endswith(".o"):
            makefile = self._read_makefile(posixpath.dirname(target))
            self._make_object(target, target, makefile, as_module=False)
        elif target == "vmlinux":
            if self._visit("", modules=False) and not self.job.is_dry_run:
                self._link()
        elif target == "modules":
            if self._visit("") and not self.job.is_dry_run:
                self._finish_modules()
        else:
            self._visit(target.rstrip("/"))

    def _read_makefile(self, folder: str) -> _Makefile:
        text = self._read(f"/src/{folder}/Makefile" if folder else "/src/Makefile") or ""
        return _Makefile.parse(folder, text, self.config)

    def _visit(self, folder: str, flags: Sequence[str] = (), *, modules: bool = True) -> bool:
        """Make a directory and all below it, and its lists where all for them was made; whether all was."""
        makefile = self._read_makefile(folder)
        if not folder:
            makefile = _Makefile.parse(".", self._read("/src/Kbuild") or "", self.config)
        makefile.inherited = [*flags]
        built = _Built()
        inside = makefile.list_members("y")
        for name in dict.fromkeys(inside + makefile.list_members("m")):
            if name.endswith("/"):
                below = [*flags, *makefile.lists["subdir-ccflags-y"]]
                self._visit_below(posixpath.normpath(name), below, built, modules=modules)
            elif name in inside:
                parts = makefile.list_parts(name) or [name]
                made = [self._make_object(part, name, makefile, as_module=False) for part in parts]
                built.archive += parts
                built.sound &= all(made)
            elif modules:
                built.order.append(name)
                built.loadable &= self._make_module(name, makefile)
        built.loadable &= modules
        self._write_lists(folder, built)
        return built.sound and (built.loadable or not modules)

    def _visit_below(self, folder: str, flags: Sequence[str], built: _Built, *, modules: bool) -> None:
        whole = self._visit(folder, flags, modules=modules)
        built.archive.append(f"{folder}/built-in.a")
        built.order.append(f"{folder}/modules.order")
        built.sound &= whole
        built.loadable &= whole

    def _make_module(self, name: str, makefile: _Makefile) -> bool:
        parts = makefile.list_parts(name)
        listed = "".join(f"{part}\n" for part in parts or [name])
        mod = f"{name.removesuffix('.o')}.mod"
        # kbuild writes it whether or not the parts can be made.
        if self._read(mod) != listed and not self.job.is_dry_run:
            self._write(mod, listed)
        made = [self._make_object(part, name, makefile, as_module=True) for part in parts or [name]]
        if not all(made):
            return False
        return not parts or self._link_module(name, mod, parts)

    def _link_module(self, name: str, mod: str, parts: Sequence[str]) -> bool:
        """Link a module of several parts, unless it stands; objtool waits for the whole of it."""
        flags = " ".join(self._read_makefile("").lists["OBJTOOL-y"])
        command = f"ld -r -o {name} @{mod} ; objtool {flags} {name}"
        saved, cmd = f"savedcmd_{name} := {command}\n", _name_command_file(name)
        if self._read(cmd) == saved and not self._is_older(name, [*parts, mod]):
            return True
        if self.job.is_dry_run:
            self.say(f"set -e;  echo '  LD [M]  {name}'; {command}")
            return True
        self.say(f"  LD [M]  {name}")
        text = "\n".join(str(self._read(part)) for part in parts)
        if not self._check_link(name, text, is_strict="--werror" in flags):
            return False
        self._write(name, text)
        self._write(cmd, saved)
        return True

    def _check_link(self, name: str, text: str, *, is_strict: bool) -> bool:
        twisted = re.findall(r"^twist (\w+)", text, re.MULTILINE)
        for function in twisted:
            kind = "error" if is_strict else "warning"
            self.say(f"{name}: {kind}: objtool: {function}+0x3: return with modified stack frame")
        if not (twisted and is_strict):
            return True
        self._locate(name).unlink(missing_ok=True)
        self.say(_FAILED.format(name))
        self.failed = True
        return False

    def _write_lists(self, folder: str, built: _Built) -> None:
        head = f"{folder}/" if folder else ""
        archive, order = f"{head}built-in.a", f"{head}modules.order"
        if self.job.is_dry_run:
            self._print_list_recipes(archive, order, built)
            return
        if built.sound and self._is_list_due(archive, built.archive):
            self.say(f"  AR      {archive}")
            members = [os.path.relpath(name, folder or ".") for name in self._flatten(built.archive)]
            self._write(archive, thin_archive(members))
            self._write(_name_command_file(archive), _format_archive_command(archive, built.archive))
        if built.loadable:
            lines = "".join(
                str(self._read(name)) if name.endswith(".order") else f"{name}\n" for name in built.order
            )
            if self._read(order) != lines:
                self._write(order, lines)

    def _print_list_recipes(self, archive: str, order: str, built: _Built) -> None:
        """The recipes of lists that are missing, or older than what they name, where that can be made."""
        if built.sound and self._is_list_due(archive, built.archive):
            self.say(_format_archive_command(archive, built.archive).partition(" := ")[2].strip())
        if built.loadable and self._is_older(order, built.order):
            steps = (f"cat {name};" if name.endswith(".order") else f"echo {name};" for name in built.order)
            self.say(f"{{ {' '.join([*steps, ':;'])} }} > {order}")

    def _is_list_due(self, archive: str, members: Sequence[str]) -> bool:
        command = self._read(_name_command_file(archive))
        return command != _format_archive_command(archive, members) or self._is_older(archive, members)

    def _flatten(self, members: Iterable[str]) -> list[str]:
        """The objects of an archive, and of those that it is made of."""
        flat: list[str] = []
        for name in members:
            if name.endswith(".a"):
                content = self._locate(name).read_bytes()
                flat += parse_archive_members(content, name)
            else:
                flat.append(name)
        return flat

    def _link(self) -> None:
        """ld of vmlinux: every call needs its definition."""
        self.say("  LD      vmlinux")
        members = self._flatten(["built-in.a"])
        self._write("vmlinux.a", thin_archive(members))
        self._check_versions(members)
        missing = list(self._find_undefined(members, members))
        for name, function in missing:
            self.say(f"ld: {name}: in function `f':")
            self.say(f"/src/{name.removesuffix('.o')}.c:(.text+0x4): undefined reference to `{function}'")
        if missing:
            self.say("make[2]: *** [/src/scripts/Makefile.vmlinux:34: vmlinux] Error 1")
            self.failed = True

    def _finish_modules(self) -> None:
        """modpost: what a module calls must be in vmlinux, or in a module."""
        self.say("  MODPOST Module.symvers")
        modules = str(self._read("modules.order")).split()
        for name in modules:
            if re.search(r"^undescribed ", self._read(name) or "", re.MULTILINE):
                self.say(f"WARNING: modpost: missing MODULE_DESCRIPTION() in {name}")
        missing = list(self._find_undefined(modules, [*modules, *self._flatten(["built-in.a"])]))
        for name, function in missing:
            self.say(f'ERROR: modpost: "{function}" [{name.replace(".o", ".ko")}] undefined!')
        if missing:
            self.say("make[2]: *** [/src/scripts/Makefile.modpost:145: Module.symvers] Error 1")
            self.failed = True

    def _find_undefined(self, users: Sequence[str], all_of: Sequence[str]) -> Iterator[tuple[str, str]]:
        texts = {name: self._read(name) or "" for name in (*users, *all_of)}
        defined = {
            word for text in texts.values() for word in re.findall(r"^define (\w+)", text, re.MULTILINE)
        }
        for name in users:
            for function in dict.fromkeys(re.findall(r"^call (\w+)", texts[name], re.MULTILINE)):
                if function not in defined:
                    yield name, function

    # Objects.

    def _make_object(self, name: str, whole: str, makefile: _Makefile, *, as_module: bool) -> bool:
        """Make an object, part of ``whole``, unless it stands; whether it is there."""
        source = self._find_source(name, makefile)
        if source is None:
            return self._lack_source(name, makefile)
        top = self._read_makefile("")
        flags = [*top.lists["KBUILD_CFLAGS"], *top.lists["KBUILD_CFLAGS-y"], *makefile.list_flags(name)]
        flags += self.job.variables.get("KCFLAGS", "").split()
        flags += ["-Wunused-variable"] if self.job.variables.get("W") else []
        stem = posixpath.basename(whole).removesuffix(".o")
        flags += [*(["-DMODULE"] if as_module else []), f"-DKBUILD_MODNAME='\"{stem}\"'"]
        command = self._format_command(name, source, flags)
        step = "CC [M] " if as_module else "AS     " if source.endswith(".S") else "CC     "
        return self._compile(name, source, command, step, makefile.rules[name])

    def _find_source(self, name: str, makefile: _Makefile) -> str | None:
        stem = name.removesuffix(".o")
        if f"{stem}.c" in makefile.rules:
            return f"{stem}.c" if self._generate(f"{stem}.c", makefile) else None
        for rule in makefile.rules[name]:
            if rule in makefile.rules:
                self._generate(rule, makefile)
        ruled = [rule for rule in makefile.rules[name] if rule.startswith("/src/") and rule.endswith(".c")]
        sources = [*ruled, *(f"/src/{stem}{end}" for end in (".c", ".S"))]
        return next(filter(self._stamp, sources), None)

    def _generate(self, name: str, makefile: _Makefile) -> bool:
        """Make a file of what its rule names, by a script that only joins."""
        inputs = makefile.rules[name]
        if any(self._stamp(item) is None for item in inputs):
            return False
        if self._is_older(name, inputs):
            if self.job.is_dry_run:
                self.say(f"set -e;  echo '  GEN     {name}'; cat {' '.join(inputs)} > {name}")
                return True
            self.say(f"  GEN     {name}")
            self._write(name, "".join(str(self._read(item)) for item in inputs))
            cmd = f"savedcmd_{name} := cat {' '.join(inputs)} > {name}\n"
            self._write(_name_command_file(name), cmd)
        return True

    def _lack_source(self, name: str, makefile: _Makefile) -> bool:
        """What make does where no rule makes an object: one that is there stands."""
        if self._stamp(name) is not None:
            self.kernel.stale.append(f"{self.job.cell}: {name} has no source")
            return True
        by = f"{makefile.folder}/built-in.a"
        self.say(f"make[3]: *** No rule to make target '{name}', needed by '{by}'.")
        self.failed = True
        return False

    def _format_command(self, name: str, source: str, flags: Iterable[str]) -> str:
        folder, base = posixpath.split(name)
        search = "-nostdinc -I/src/arch/x86/include -I./arch/x86/include/generated -I/src/include -I./include"
        return f"gcc -Wp,-MMD,{folder}/.{base}.d {search} {' '.join(flags)} -c -o {name} {source}"

    def _compile(self, name: str, source: str, command: str, step: str, more: Sequence[str] = ()) -> bool:
        made = compile_source(source, command, self.config, self._read)
        made.content += f"\nby {self.job.container.image}"
        made.says += self._work_on(name, made)
        if self._is_current(name, source, command, more):
            if not self.job.is_dry_run and (self._read(name) != made.content or made.refused):
                self.kernel.stale.append(f"{self.job.cell}: {name}")
            return True
        if self.job.is_dry_run:
            self.say(f"set -e;  echo '  {step} {name}'; {command}")
            return True
        self.say(f"  {step} {name}")
        try:
            self.kernel.count_compilation()
        except KilledError:
            self._write(name, _HALF)
            raise
        self._locate(name).unlink(missing_ok=True)
        return self._finish(name, source, command, made)

    def _finish(self, name: str, source: str, command: str, made: Compilation) -> bool:
        for line in made.says:
            self.say(line)
        if made.refused:
            self.say(_FAILED.format(name))
            self.failed = True
            return False
        self._write(name, made.content)
        text = _format_command_file(name, source, command, made)
        self._write(_name_command_file(name), text + self._version_exports(source, command, made))
        return True

    def _version_exports(self, source: str, command: str, made: Compilation) -> str:
        """What genksyms makes of an object of assembly: a version for each export that has a prototype."""
        exports = _EXPORTED.findall(made.content)
        if not exports or not source.endswith(".S") or self.config.get("ASM_MODVERSIONS", "n") != "y":
            return ""
        folders = [word[2:].removeprefix("./") for word in command.split() if word.startswith("-I")]
        places = (f"{folder}/asm/asm-prototypes.h" for folder in folders)
        header = next((place for place in places if self._stamp(place) is not None), "")
        dummy = compile_source(header, f"{command} -D__GENKSYMS__", self.config, self._read)
        texts = "".join(str(self._read(name)) for name in dummy.read if self._read(name))
        return "".join(f"#SYMVER {name} 0x1\n" for name in exports if f"prototype {name};" in texts)

    def _check_versions(self, members: Iterable[str]) -> None:
        """modpost: each export of vmlinux has a version, where there are any."""
        for name in members if self.config.get("ASM_MODVERSIONS", "n") == "y" else ():
            versions = self._read(_name_command_file(name)) or ""
            for export in _EXPORTED.findall(self._read(name) or ""):
                if f"#SYMVER {export} " not in versions:
                    self.say(_UNVERSIONED.format(export))

    def _work_on(self, name: str, made: Compilation) -> list[str]:
        """What a tool that no command file names does to an object after the compiler."""
        if not name.endswith(".o"):
            return []
        tool = self._read("scripts/tool") or ""
        made.content += f"\nseen by {tool.splitlines()[0]}" if tool else ""
        text = self._read("/src/scripts/tool.c") or ""
        found = "finds" in text and "call " in made.content
        return [f"{name}: warning: objtool: f+0x3: return with modified stack frame"] if found else []

    def _is_current(self, name: str, source: str, command: str, more: Sequence[str]) -> bool:
        text = self._read(_name_command_file(name)) or ""
        if f"savedcmd_{name} := {command}\n" not in text:
            return False
        symbols = re.findall(r"\$\(wildcard (\S+)\)", text)
        named = [item for item in symbols if self._stamp(item) is not None]
        read = re.findall(r"^  (?! )(\S+) \\$", text, re.MULTILINE)
        return not self._is_older(name, [source, *read, *named, *more])


def _parse_settings(text: str) -> Settings:
    return dict(Config.parse(text))


def _name_command_file(name: str) -> str:
    folder, base = posixpath.split(name)
    return posixpath.join(folder, f".{base}.cmd")


def _format_archive_command(name: str, members: Sequence[str]) -> str:
    recipe = f'rm -f {name};  printf "./%s " {" ".join(members)} | xargs ar cDPrST {name}'
    return f"savedcmd_{name} := {recipe}\n"


def _format_command_file(name: str, source: str, command: str, made: Compilation) -> str:
    deps = [f"    $(wildcard include/config/{symbol}) \\\n" for symbol in sorted(made.symbols)]
    deps += [f"  {item} \\\n" for item in made.read[1:]]
    return (
        f"savedcmd_{name} := {command}\n\nsource_{name} := {source}\n\ndeps_{name} := \\\n{''.join(deps)}\n"
        f"{name}: $(deps_{name})\n\n$(deps_{name}):\n"
    )
