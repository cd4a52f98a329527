"""An ordinary run as a mail."""

import re
from pathlib import Path

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import PatchRecord
from matrix.record.states import State
from reports import FORMATS, NO_OPTIONS
from reports.limits import MAIL_BODY_LINES
from reports.mail_run import render_run_mail
from tests.fakes.runs import GCC_ERROR, a_cell, a_run
from tests.fakes.sides import a_side
from tests.fakes.verdicts import broken_story, patched, turning
from tests.unit.reports.mail_reading import MAKE, body, different, run_told
from tests.unit.reports.test_verdict_text import ON_POWERPC, RUN, broken

THE_RUN = f"""\
Subject: [kmatrix] Linux 6.12.48: 2 of 98 cells failed, 1 finding
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit

tree:      Linux 6.12.48, debian:linux-source-6.12, sha256 4f1c4f1c4f1c
patches:   0001-vfio-static-stub.patch
base:      defconfig (ppc64le_defconfig on powerpc)
cells:     98 (arm64 20, powerpc 26, s390 26, x86 26)

2 of 98 cells failed, 1 finding.

condition: KVM=y, MODULES=n, VFIO=n on powerpc
severity:  error with gcc-14, clang-19; 2 cells
compiler:  gcc-14: gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld (GNU Binutils for Debian) 2.44
           clang-19: Debian clang version 19.1.7 (3), Debian LLD 19.1.7
reproduce:
        {MAKE} ppc64le_defconfig
        scripts/config --file /tmp/kmatrix/.config -e KVM -d MODULES -d VFIO
        {MAKE} olddefconfig
        {MAKE} -k -j"$(nproc)" arch/powerpc/kvm/

All errors:

   include/linux/vfio.h:294:35: error: weak declaration of 'vfio_file_iommu_group' \
being applied to a already existing, static definition
     294 | static inline struct iommu_group *vfio_file_iommu_group(struct file *file)
         |                                   ^~~~~~~~~~~~~~~~~~~~~
   virt/kvm/vfio.c:89:7: error: attribute declaration must precede definition \
[-Werror,-Wignored-attributes]
      89 |         fn = symbol_get(vfio_file_iommu_group);
         |              ^
   note: include/linux/vfio.h:294: previous definition is here

46 of 144 requests unreachable: 18 × KVM=m: MODULES=n makes it y; 16 ×
VFIO=m: MODULES=n makes it y; 12 × KVM has no m on arm64.
"""


def test_a_config_that_is_not_in_the_mail_is_named_and_no_path() -> None:
    run = RUN.model_copy(update={"bases": {}})
    told = run_told(run)
    assert "configs/" not in told
    assert re.search(r"\n        # with a \.config that is not in this mail, of sha256 [0-9a-f]{64}\n", told)


def test_an_ordinary_run_reads_like_this() -> None:
    assert FORMATS["mail"].render_run(a_side(broken_story()), NO_OPTIONS) == THE_RUN


def test_what_is_new_is_marked_only_with_a_baseline() -> None:
    case = broken()
    marked = run_told(case.after.run, new=case.verdict.findings[:1])
    assert (
        "All errors (new ones prefixed by >>):\n\n>> kernel/fork.c:3: error: 'other' undeclared\n" in marked
    )
    assert ">>" not in run_told(case.after.run)
    known = run_told(RUN, new=())
    assert "All errors (new ones prefixed by >>):\n\n   include/linux/vfio.h" in known


def test_an_ordinary_mail_has_less_than_sixty_lines_too() -> None:
    many = different(26, excerpt=("x",) * 30)
    cells = [
        a_cell(symbols={"A": f"{i} " * 300}, state=State.FAIL, diagnostics=[one])
        for i, one in enumerate(many)
    ]
    patches = tuple(PatchRecord(name=f"{i:04}.patch", sha256="c" * 64) for i in range(200))
    run = a_run([*cells, a_cell("x86", symbols={"A": "0 " * 300}, state=State.OOM)], many)
    told = run_told(run.model_copy(update={"source": run.source.model_copy(update={"patches": patches})}))
    assert len(body(told)) < MAIL_BODY_LINES
    assert "\npatches:   0000.patch, 0001.patch, " in told
    lines = body(told)
    starts = [lines.index(line) for line in lines if line.startswith(("patches:", "base:"))]
    assert starts[1] - starts[0] <= 5
    assert "\nNot shown: 23 more findings. Oom: 1 cell" in told
    assert "Oom: 1 cell: ran out of memory." in " ".join(body(told))


def test_a_run_without_findings_says_so() -> None:
    lines = body(run_told(a_run([a_cell(state=State.EMPTY)])))
    assert lines[2] == "cells:     none was built"
    assert lines[4] == "Nothing was proven: no cell compiled anything."


def test_only_the_compilers_that_say_it_are_named() -> None:
    failing = turning(RUN, {**ON_POWERPC, "toolchain": "gcc-14"}, State.FAIL, GCC_ERROR)
    told = run_told(patched(RUN, *failing))
    assert "compiler:  gcc-14: gcc-14 (Debian" in told
    assert "clang-19: " not in told


def test_a_run_that_failed_without_a_known_error_ends_with_its_log(tmp_path: Path) -> None:
    cell = a_cell(state=State.FAIL)
    log = tmp_path / str(cell.log)
    log.parent.mkdir(parents=True)
    log.write_text("ld: oops\n")
    run = a_run([cell])
    told = render_run_mail(StoredRun(run, tmp_path))
    assert "Failed without an error that kmatrix knows: 1 cell." in told
    assert told.endswith(f"\n\nThe end of the log of {cell.id}:\n\n  ld: oops\n")
