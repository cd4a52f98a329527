"""The state of a parser between two lines: the diagnostic that is being read, and the context of the next.

Lines and paths are made comparable here: no colours, one name for each file.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from matrix.diagnostics.diagnostic import BuildLog, FailedTarget, Occurrence
from matrix.diagnostics.drafts import (
    MAX_MESSAGE_PARTS,
    NO_POSITION,
    UNKNOWN_COMPILER,
    DiagnosticDraft,
    Position,
    Quotation,
)
from matrix.diagnostics.failed_targets import (
    FailureRecord,
    TargetFailure,
    find_program_name,
    is_of_recipe,
    list_last_lines,
    pick_last_words,
)
from matrix.diagnostics.script_traces import find_trace

# Colours, and the hyperlinks that GCC puts around its flags.
_ESCAPES = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
# What a CI puts before each line of a log: `2026-11-27T10:00:00.1234567Z `, `[2026-11-27T10:00:00.123Z] `,
# `10:00:00 `, `[   12.345678] `.
_TIMESTAMP = re.compile(
    r"\[? *(?:[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9:]{4,5})?"
    r"|[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?|(?<=[\[ ])[0-9]{1,7}\.[0-9]{3,6}(?=\]))\]? "
)
_TIMESTAMP_STARTS = frozenset("[0123456789")
# What bitbake puts before each line of a log, and the kernel test robot before those that are new.
_MARGINS = ("| ", ">> ")
# make's words on a failed target, below output that ended without a newline, or behind a margin.
_MAKE_AMID_LINE = re.compile(r"(?<![A-Za-z_/.-])g?make(?:\[[0-9]{1,4}\])?: \*\*\* ")
# Longer than any compiler's command line; what a damaged log has in one line must not fill a record.
MAX_LOG_LINE_LENGTH = 32_768


def clean_log_line(line: str) -> str:
    """A line without escapes, a CI's timestamp, line end or invalid Unicode; cut where it is endless."""
    plain = line[:MAX_LOG_LINE_LENGTH]
    if not plain.isascii():
        plain = plain.encode("utf-8", "replace").decode("utf-8")
    if "\x1b" in plain:
        plain = _ESCAPES.sub("", plain)
    plain = plain.rstrip("\r\n")
    stamp = _TIMESTAMP.match(plain) if plain[:1] in _TIMESTAMP_STARTS else None
    plain = plain[stamp.end() :] if stamp else plain
    return (
        plain[len(plain.split(" ", 1)[0]) + 1 :] if plain[:2] in _MARGINS or plain[:3] in _MARGINS else plain
    )


def split_joined_line(line: str) -> tuple[str, ...]:
    """A line, apart from make's words at its end where a program's last output has no newline."""
    found = _MAKE_AMID_LINE.search(line)
    if found is None or found.start() == 0:
        return (line,)
    before, words = line[: found.start()], line[found.start() :]
    return (before, words) if before.strip() else (words,)


_LINKERS = frozenset({"ld", "lld"})


@dataclass(frozen=True)
class BuildRoots:
    """Where the tree and the build directory are for the tools: ``/src`` and ``/build`` in every cell."""

    source: str = "/src"
    build: str = "/build"

    @cached_property
    def _prefixes(self) -> tuple[re.Pattern[str], ...]:
        named = tuple(
            re.compile(rf"^(?:{re.escape(root)}|(?:\.\./)++{re.escape(posixpath.basename(root))})/++")
            for root in sorted((self.source, self.build), key=len, reverse=True)
        )
        below = posixpath.relpath(self.build, self.source)
        # kbuild calls the tree `..` where the build directory lies in it.
        inside = below != "." and not below.startswith("..")
        depth = below.count("/") + 1
        return (*named, re.compile(rf"^(?:\.\./){{{depth}}}(?!\.\./)")) if inside else named

    def make_relative(self, path: str) -> str:
        """A path relative to the tree, or to the build directory, without detours."""
        # Most are so already, and a log has as many as lines.
        if path[:1] not in "/." and "./" not in path and "//" not in path and path[-1] not in "/.":
            return path
        for prefix in self._prefixes:
            path = prefix.sub("", path)
        return posixpath.normpath(path) if path else path

    def normalize_file(self, path: str) -> str | None:
        """As `make_relative`; None for what is no file of the build: ``<stdin>``, a compiler's temporary."""
        plain = self.make_relative(path)
        return None if plain.startswith(("<", "{", "/tmp/")) else plain  # noqa: S108


def _strip_suffix(path: str) -> str:
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and "/" not in suffix else path


@dataclass
class ParserState:
    """The state of parsing one log: readers add drafts to it, and use what was read before."""

    roots: BuildRoots
    drafts: list[DiagnosticDraft] = field(default_factory=list)
    current_draft: DiagnosticDraft | None = None
    step: str = ""
    crashed: bool = False
    object: str | None = None
    function: str | None = None
    source: str | None = None
    linked_object: str | None = None
    include_chain: list[str] = field(default_factory=list)
    inlined_into: list[tuple[str, Position]] = field(default_factory=list)
    """The functions that the current one was inlined into, from the inside out, and where."""
    recipe_error: DiagnosticDraft | None = None
    """The last error that was read since the current object's making began."""
    assembling: bool = False
    """GNU as has announced messages of its own."""
    held_line: str | None = None
    quotation: Quotation | None = None
    compiled_objects: set[str] = field(default_factory=set)
    failure_record: FailureRecord = field(default_factory=FailureRecord)
    lint_by_shape: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """A message of rustc without names → its lint, and whether it makes an error of a warning."""
    _error_by_object: dict[str, DiagnosticDraft] = field(default_factory=dict)
    _recent_errors: list[DiagnosticDraft] = field(default_factory=list)
    """The errors since the failure before."""
    _object_by_stem: dict[str, str] = field(default_factory=dict)
    _object_by_name: dict[str, str | None] = field(default_factory=dict)
    _chain_by_file: dict[str | None, tuple[str, ...]] = field(default_factory=dict)
    _compiler_by_object: dict[str | None, str] = field(default_factory=dict)
    _drafts_without_object: list[DiagnosticDraft] = field(default_factory=list)

    def start_object(self, step: str, target: str | None) -> None:
        """Another object is being made from here on."""
        self.step, self.object, self.crashed = step, target, False
        self.failure_record.start_recipe(step, target)
        self.current_draft = self.function = self.source = self.linked_object = self.held_line = (
            self.quotation
        ) = None
        self.include_chain, self.inlined_into, self._chain_by_file = [], [], {}
        self._drafts_without_object, self.recipe_error = [], None
        self.assembling = False
        if target is not None:
            stem = _strip_suffix(target)
            self._object_by_stem[stem] = target
            self._file_name(stem, target)

    def _file_name(self, stem: str, target: str) -> None:
        # Two objects of one name in two directories are told by neither of them.
        name = stem.rpartition("/")[2]
        known = self._object_by_name.setdefault(name, target)
        if known is not target and known is not None and _strip_suffix(known) != stem:
            self._object_by_name[name] = None

    def find_made_object(self, name: str) -> str | None:
        """The object of this last name, without suffix, that was made so far; where there is only one."""
        return self._object_by_name.get(name)

    def add_draft(self, draft: DiagnosticDraft, *, has_object: bool = True) -> DiagnosticDraft:
        """Add a new diagnostic. Without ``has_object`` it is of the build as a whole, as Kconfig's are."""
        if has_object and draft.object is None:
            named = self._find_named_object(draft)
            draft.object, draft.by_step = named or self.object, named is None
            if draft.object is None:
                self._drafts_without_object.append(draft)
        draft.crashed = self.crashed
        self._file_error(draft)
        if draft.severity == "error":
            self.recipe_error = draft
            self._recent_errors.append(draft)
        self.current_draft, self.held_line, self.quotation = draft, None, None
        self.drafts.append(draft)
        return draft

    def _file_error(self, draft: DiagnosticDraft) -> None:
        if draft.severity == "error" and draft.object is not None:
            self._error_by_object.setdefault(draft.object, draft)

    def _find_named_object(self, draft: DiagnosticDraft) -> str | None:
        # Without --output-sync the last step line may be another job's; the source's name is a better guide.
        outermost = draft.included_from[-1].partition(":")[0] if draft.included_from else None
        # What a linker names is only an input; what it makes is the step's.
        names = () if draft.tool in _LINKERS else (outermost, draft.position.file, self.source)
        objects = (self._object_by_stem.get(_strip_suffix(name)) for name in names if name)
        return next(filter(None, objects), None)

    def find_object_of_crate(self, file: str) -> str | None:
        """The object that a Rust source goes into: its own, or that of the crate in a directory above it."""
        stem = _strip_suffix(file)
        while stem and stem not in self._object_by_stem:
            stem = posixpath.dirname(stem)
        return self._object_by_stem.get(stem)

    def resolve_include_chain(self, file: str | None) -> tuple[str, ...]:
        """The files that include ``file``, outward: as just printed, or as before.

        Tools print a chain only once; after messages about another file they return to a header without it.
        """
        if self.include_chain:
            self._chain_by_file[file] = tuple(self.include_chain)
            self.include_chain = []
        return self._chain_by_file.get(file, ())

    def add_note(self, text: str, position: Position = NO_POSITION) -> None:
        """Add a note to the current diagnostic; without one, the note is dropped.

        A diagnostic without a file (in an assembler macro, for example) gets the position of its first note.
        """
        draft = self.current_draft
        if draft is None or len(draft.notes) >= MAX_MESSAGE_PARTS:
            return
        if draft.tool == UNKNOWN_COMPILER and draft.position.file is None:
            draft.position = position
        draft.add_note(text, position)
        if draft.continuation == "excerpt":
            self.end_continuation()
        self.quotation = None if position.file is None else Quotation(position.file, position.line, text)
        draft.quotations += [] if self.quotation is None else [self.quotation]

    def end_continuation(self) -> None:
        """End the current diagnostic, but for notes: what follows belongs to something else."""
        self.held_line = self.quotation = None
        if self.current_draft is not None:
            self.current_draft.continuation = "nothing"

    def keep_unread_line(self, line: str) -> None:
        """Take a line that no reader takes: it ends the current diagnostic."""
        self.end_continuation()
        self.failure_record.keep_line(line, self.object)

    def fail_target(self, target: str, reason: str, level: int) -> None:
        """make failed to make a target. Find the cause, or add what its command printed as one.

        Drafts of its recipe that had no object get the target.
        """
        has_output = bool(self._recent_errors)
        if self.failure_record.is_passed_up(target, reason, level, has_output=has_output):
            return
        failure = self.failure_record.add_failure(target, reason, level)
        if failure.is_file:
            self._assign_failed_object(target)
        lines = self.failure_record.take_last_lines(target)
        failure.cause = self._find_cause(failure, lines) or self._add_last_words(failure, lines)
        self._correct_object(failure.cause, failure)
        # What the next recipe prints follows from none of this one's errors.
        self._recent_errors, self.recipe_error = [], None

    def miss_target(self, target: str, cause: DiagnosticDraft, level: int) -> None:
        """make has no way to make a target, as ``cause`` says."""
        self.failure_record.add_failure(target, "", level).cause = cause

    def _assign_failed_object(self, target: str) -> None:
        waiting = self._drafts_without_object
        own = [draft for draft in waiting if draft.is_of_source(target)] or waiting
        for draft in own:
            draft.object = target
            self._file_error(draft)
        self._drafts_without_object = [draft for draft in waiting if draft.object is None]

    def _find_cause(self, failure: TargetFailure, lines: Sequence[str]) -> DiagnosticDraft | None:
        """The first error of a failed target's recipe; an error found elsewhere never excuses a target."""
        own = self._error_by_object.get(failure.target)
        steps = self.failure_record.first_steps
        recent = self._recent_errors
        found = own or next((draft for draft in recent if is_of_recipe(draft, failure.target, steps)), None)
        return found or (None if pick_last_words(lines) else self._take_unplaced_errors(failure))

    def _take_unplaced_errors(self, failure: TargetFailure) -> DiagnosticDraft | None:
        """Give the target that failed what was printed of no place just before, and return the first.

        Without --output-sync the last step is another job's, and such a message was taken for that one's.
        """
        unplaced = [draft for draft in self._recent_errors if self._is_unplaced(draft)]
        if not failure.is_file or not unplaced:
            return None
        first = unplaced[0]
        for draft in unplaced:
            if draft.printed_file == first.printed_file:
                self._move_error(draft, failure.target)
        return first

    def _is_unplaced(self, draft: DiagnosticDraft) -> bool:
        made = draft.object is None or not self.failure_record.has_failed(draft.object)
        return draft.position.file is None and draft.by_step and made

    def _move_error(self, draft: DiagnosticDraft, target: str) -> None:
        if draft.object is not None and self._error_by_object.get(draft.object) is draft:
            del self._error_by_object[draft.object]
        draft.object = target
        self._file_error(draft)

    def _correct_object(self, cause: DiagnosticDraft, failure: TargetFailure) -> None:
        """Give a shell's message to the target that failed where no step announced that.

        The step before it was another target's.
        """
        if cause.tool not in ("sh", "make") or cause.position.file is not None or not failure.is_file:
            return
        if failure.target not in self.failure_record.first_steps and cause.object != failure.target:
            self._move_error(cause, failure.target)

    def _add_last_words(self, failure: TargetFailure, lines: Sequence[str]) -> DiagnosticDraft:
        trace = find_trace(lines)
        words = trace.message if trace else pick_last_words(lines)
        message = words or self._describe_silence(failure)
        tool = trace.script if trace else find_program_name(words)
        draft = DiagnosticDraft("error", tool or failure.tool, message)
        draft.notes = list_last_lines(lines)
        draft.object = failure.target if failure.is_file else None
        return self.add_draft(draft, has_object=False)

    def _describe_silence(self, failure: TargetFailure) -> str:
        """What is said in place of a cause where the log shows none."""
        if failure.reason:
            return failure.describe_silence()
        is_empty = not self.drafts and not self.failure_record.first_steps
        return "the build failed and its log " + ("is empty" if is_empty else "does not show why")

    def fail_without_target(self) -> None:
        """make failed, and the log does not show which target: its last words are the cause."""
        lines = self.failure_record.take_last_lines("")
        self._add_last_words(TargetFailure("", ""), lines)

    @property
    def has_error(self) -> bool:
        """Whether an error of what is being made was read, of which another may be the consequence."""
        return self.recipe_error is not None or self.object in self._error_by_object

    def record_compiler(self, compiler: str) -> None:
        """Note that the current object's messages can only come from this compiler."""
        self._compiler_by_object.setdefault(self.object, compiler)

    @property
    def has_known_compiler(self) -> bool:
        """Whether the current object's compiler was noted."""
        return self.object in self._compiler_by_object

    def collect_log(self) -> BuildLog:
        """Everything found, in the log's order, each diagnostic once per object."""
        occurrences = self._list_occurrences()
        by_draft = {id(draft): item for draft, item in zip(self.drafts, occurrences, strict=True)}
        failures = {failure.target: failure for failure in reversed(self.failure_record.failures)}
        return BuildLog(
            tuple(dict.fromkeys(occurrences)),
            tuple(
                FailedTarget(
                    failure.target,
                    failure.target if failure.is_file else None,
                    by_draft.get(id(failure.cause)),
                )
                for failure in reversed(failures.values())
            ),
            frozenset(self.compiled_objects),
        )

    def _list_occurrences(self) -> list[Occurrence]:
        most_common = Counter(self._compiler_by_object.values()).most_common(1)
        default = most_common[0][0] if most_common else "gcc"
        return [
            draft.to_occurrence(self._compiler_by_object.get(draft.object, default)) for draft in self.drafts
        ]


LineReader = Callable[[ParserState, str], bool]
"""Takes a line, or leaves it to the next reader."""


def read_with_first(readers: Sequence[LineReader], log: ParserState, line: str) -> bool:
    """Offer a line to each reader until one takes it; False where none does."""
    # A loop: millions of lines come through here, and a generator for each takes as long as the readers.
    for read in readers:  # noqa: SIM110
        if read(log, line):
            return True
    return False
