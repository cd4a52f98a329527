"""A verdict as a mail: the answer to a patch."""

from pathlib import Path
from typing import Any

import pytest

from matrix.record.states import State
from matrix.verdict.verdict_model import Mailbox
from reports.limits import MAIL_BODY_LINES
from reports.mail_headers import MailOrigin
from reports.mail_verdict import format_tested_by, render_verdict_mail
from tests.fakes.runs import GCC_ERROR, WARNING
from tests.fakes.sides import OTHER, a_side, turned
from tests.fakes.verdicts import (
    MAIL,
    TOLD_PATCH,
    Case,
    a_case,
    header_fix,
    kconfig_fix,
    kept_in,
    patched,
    turning,
)
from tests.unit.reports.mail_reading import JANE, MAKE, TAG, answering, body, different, with_mail
from tests.unit.reports.test_verdict_text import (
    CASES,
    ON_POWERPC,
    RUN,
    after,
    of_another_compiler,
    still_in_gcc,
    untried,
)

THE_ANSWER = f"""\
From: Jane Doe <jane@example.org>
To: Jason Gunthorpe <jgg@example.com>
Cc: kvm@lists.example.org, Michael Ellerman <mpe@example.org>,
 Paolo Bonzini <pbonzini@example.org>
Subject: Re: [PATCH rc] kvm: Prevent compiling virt/kvm/vfio.c unless VFIO is selected
In-Reply-To: <0-v1-08396538817d+13c5-vfio_kvm_kconfig_jgg@example.com>
References: <0-v1-08396538817d+13c5-vfio_kvm_kconfig_jgg@example.com>
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit

On Wed, Sep 20, 2023, Jason Gunthorpe wrote:
> It happens because the arch forces KVM_VFIO without knowing if VFIO is
> even enabled.

This fixes the error below and breaks nothing that was looked at (98
cells).

Before, with KVM=y, MODULES=n, VFIO=n on powerpc (error with gcc-14,
clang-19):

  include/linux/vfio.h:294:35: error: weak declaration of 'vfio_file_iommu_group' \
being applied to a already existing, static definition
    294 | static inline struct iommu_group *vfio_file_iommu_group(struct file *file)
        |                                   ^~~~~~~~~~~~~~~~~~~~~
  virt/kvm/vfio.c:89:7: error: attribute declaration must precede definition \
[-Werror,-Wignored-attributes]
     89 |         fn = symbol_get(vfio_file_iommu_group);
        |              ^
  note: include/linux/vfio.h:294: previous definition is here

After: gone in all of its 2 cells: not built any more (KVM_VFIO is n
there).

KVM_VFIO y -> n in 22 cells: every one with KVM=m or y, VFIO=n.

Built with kmatrix 0.1 on Linux 6.12.48, debian:linux-source-6.12, sha256
4f1c4f1c4f1c, with 0001-vfio-static-stub.patch: 98 cells (arm64 20, powerpc
26, s390 26, x86 26). 60 of them did not have to be built again: what
changed went into no object here. No configuration satisfies 46 more
requests.

  gcc-14: gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld (GNU Binutils for Debian) 2.44
  clang-19: Debian clang version 19.1.7 (3), Debian LLD 19.1.7

  make ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu- -k arch/powerpc/kvm/ drivers/vfio/  # 26 cells
  make ARCH=s390 CROSS_COMPILE=s390x-linux-gnu- -k arch/s390/kvm/ drivers/vfio/  # 26 cells
  make ARCH=x86 CROSS_COMPILE=x86_64-linux-gnu- -k arch/x86/kvm/ drivers/vfio/  # 26 cells
  make ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- -k arch/arm64/kvm/ drivers/vfio/  # 20 cells

To see it, in a tree without the patch:

  {MAKE} ppc64le_defconfig
  scripts/config --file /tmp/kmatrix/.config -e KVM -d MODULES -d VFIO
  {MAKE} olddefconfig
  {MAKE} -k -j"$(nproc)" arch/powerpc/kvm/

Tested-by: Jane Doe <jane@example.org> # build
"""


def test_the_answer_reads_like_this() -> None:
    assert (
        render_verdict_mail(*kconfig_fix().given, MailOrigin(JANE), tag=format_tested_by(JANE)) == THE_ANSWER
    )


def test_a_header_fix_says_that_it_was_compiled_without_the_error() -> None:
    mail = render_verdict_mail(*header_fix().given)
    assert "\n\nAfter: gone in all of its 2 cells: compiled without it.\n\n" in mail
    assert "did not have to be built" not in mail


def test_what_is_bad_comes_first() -> None:
    case = after(
        *turning(RUN, {"arch": "x86", "KVM": "y", "MODULES": "n"}, State.UNREACHABLE, reason="no"),
        *turning(RUN, {"arch": "s390", "KVM": "y", "VFIO": "y"}, State.FAIL, OTHER),
        diagnostics=(OTHER,),
    )
    lines = body(render_verdict_mail(*case.given))
    assert " ".join(lines[4:6]) == (
        "This breaks 4 cells (1 new error), loses 4 cells and fixes the error in arch/powerpc/kvm/vfio.o."
    )
    text = "\n".join(lines)
    assert "\nNew, with KVM=y, VFIO=y on s390 (error with gcc-14, clang-19):\n\n  kernel/fork.c:3: " in text
    assert "\nBroken: pass -> fail, 4 cells (s390 4).\n\n  s390/gcc-14/defconfig/KVM=y," in text
    assert "\nLost: pass -> unreachable, 4 cells (x86 4): no.\n" in text
    assert "To see it, in a tree with the patch:" in text
    assert "No configuration satisfies 46 more requests." in text


def test_a_fix_for_one_compiler_only_is_told_as_that() -> None:
    mail = render_verdict_mail(*still_in_gcc(fixes=["F1"]).given)
    assert "This does not fix the error below and breaks nothing" in mail
    assert "After: still there in 1 of its 2 cells: 1 compiled without it, now with" in mail


def test_what_could_not_be_tried_is_said() -> None:
    mail = render_verdict_mail(*untried().given)
    assert "\nThis leaves open what became of the error below," in mail
    assert "\nNot known: 2 cells (powerpc 2): timeout after.\n" in mail


def test_another_compiler_is_not_the_patchs_doing() -> None:
    told = " ".join(body(render_verdict_mail(*of_another_compiler().given)))
    assert "Besides the patch, this differs: compiler of gcc-14 powerpc: " in told
    assert "nothing is claimed of what came out otherwise there." in told


def test_findings_of_which_nothing_became_are_counted() -> None:
    warned = turning(RUN, {"arch": "x86", "VFIO": "y"}, State.WARN, WARNING)
    run = patched(RUN, *warned, *turning(RUN, ON_POWERPC, State.FAIL, GCC_ERROR), diagnostics=(WARNING,))
    case = a_case(a_side(run), a_side(patched(run, *warned)))
    mail = render_verdict_mail(*case.given)
    assert "There with and without it: 1 finding." in mail
    assert "unused variable" not in mail


def test_a_failure_without_a_known_error_has_the_end_of_its_log_after_all_else(tmp_path: Path) -> None:
    cells = turning(RUN, {"arch": "x86", "toolchain": "gcc-14", "KVM": "y"}, State.FAIL)
    case = after(*cells)
    side = kept_in(a_side(case.after.run), tmp_path)
    log = side.directory / str(cells[0].log)
    log.parent.mkdir(parents=True)
    log.write_text("early\n" * 99 + "Tested-by: Nobody <n@example.org>\nld: oops\n")
    lines = body(render_verdict_mail(case.verdict, case.before, side))
    start = lines.index(f"The end of the log of {cells[0].id}:")
    assert start < MAIL_BODY_LINES
    assert lines[start + 2 :] == ["  early"] * 18 + ["|   Tested-by: Nobody <n@example.org>", "  ld: oops"]


@pytest.mark.parametrize("case", [*CASES, lambda: after(*turning(RUN, {}, State.FAIL))])
def test_prose_has_75_columns_and_all_of_it_less_than_sixty_lines(case: Any) -> None:
    made: Case = case()
    mail = render_verdict_mail(
        made.verdict, made.before, made.after, MailOrigin(JANE), tag=format_tested_by(JANE)
    )
    assert len(body(mail)) < MAIL_BODY_LINES
    prose = [line for line in body(mail) if not line.startswith(("  ", ">", "Tested-by"))]
    assert max(map(len, prose)) <= 75


def test_the_fullest_mail_has_less_than_sixty_lines() -> None:
    """Many findings of many lines each, long reasons, many make lines, a long quote, many steps."""
    many = different(26, excerpt=("x " * 99,) * 30, message="long " * 60)
    made = (cell.model_copy(update={"make": f"ARCH={i} " + "V=1 " * 90}) for i, cell in enumerate(RUN.cells))
    run = RUN.model_copy(update={"cells": tuple(made)})
    failing = [turning(run, {"arch": "x86"}, State.FAIL, one)[i] for i, one in enumerate(many)]
    lost = [
        cell.model_copy(update={"reason": f"{i} " * 400})
        for i, cell in enumerate(turning(run, {"arch": "s390"}, State.UNREACHABLE))
    ]
    slow = turning(run, {"arch": "arm64"}, State.TIMEOUT, reason="slow " * 300)
    turned = patched(run, *failing, *lost, *slow, diagnostics=many)
    case = a_case(
        a_side(run),
        a_side(turned),
        patches=(with_mail(quote=("x " * 99,) * 99),),
        base_differs="it differs " * 99,
        notes=("note " * 99,) * 9,
    )
    mail = render_verdict_mail(*case.given, tag=format_tested_by(JANE))
    assert len(body(mail)) < MAIL_BODY_LINES
    assert mail.endswith("\n\nTested-by: Jane Doe <jane@example.org> # build\n")
    assert "This breaks 26 cells (26 new errors), loses 26 cells" in " ".join(body(mail))
    assert "Not shown: " in mail


def test_compilers_lines_commands_quotes_and_tags_are_never_wrapped() -> None:
    name = "Maximilian Alexander Ferdinand von Hohenzollern-Sigmaringen-Habsburg"
    tag = format_tested_by(Mailbox(name=name, address="max@example.org"))
    quote = "a quoted line that is rather longer than what fits in seventy-five columns, as some are"
    mail = render_verdict_mail(
        *header_fix()
        .having(
            patches=(TOLD_PATCH.model_copy(update={"mail": MAIL.model_copy(update={"quote": (quote,)})}),)
        )
        .given,
        tag=tag,
    )
    lines = mail.splitlines()
    path = "drivers/" + "a_rather_long_directory/" * 5 + "file.c"
    reason = turning(RUN, {"arch": "x86"}, State.UNREACHABLE, reason=f"see {path} for it")
    assert path in render_verdict_mail(*after(*reason).given).split()
    assert {f"> {quote}", tag, f'  {MAKE} -k -j"$(nproc)" arch/powerpc/kvm/'} <= set(lines)
    assert len(tag) > 75


def test_a_long_quote_is_trimmed() -> None:
    quote = tuple(f"line {i}" for i in range(20))
    lines = body(answering(quote=quote))
    assert lines[1:10] == [*(f"> line {i}" for i in range(8)), "> [...]"]
    assert body(answering(quote=()))[0].startswith("This fixes")


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Foo 20230 99:99:99 +9999"])
def test_a_mail_without_a_date_is_quoted_without_one(date: str) -> None:
    assert body(answering(date=date))[0] == "Jason Gunthorpe writes:"


def test_the_tag_is_that_of_whoever_ran_it_and_only_when_given() -> None:
    assert format_tested_by(JANE) == "Tested-by: Jane Doe <jane@example.org> # build"
    assert format_tested_by(Mailbox(name="a\n b\t", address="c")) == "Tested-by: a b <c> # build"
    assert TAG.findall(render_verdict_mail(*header_fix().given, MailOrigin(JANE))) == []


def test_a_log_that_was_as_bad_before_is_not_told(tmp_path: Path) -> None:
    silent = turning(RUN, {"arch": "x86", "toolchain": "gcc-14", "KVM": "y"}, State.FAIL)
    run = turned(RUN, *silent)
    case = a_case(a_side(run), a_side(patched(run, *silent)))
    side = kept_in(a_side(case.after.run), tmp_path)
    log = side.directory / str(silent[0].log)
    log.parent.mkdir(parents=True)
    log.write_text("ld: oops\n")
    mail = render_verdict_mail(case.verdict, case.before, side)
    assert "\nFails with and without it: 5 cells (x86 5).\n" in mail
    assert "oops" not in mail
    assert silent[0].id not in mail


def test_where_nothing_was_built_nothing_is_claimed() -> None:
    mail = render_verdict_mail(*after(*turning(RUN, {}, State.INFRA)).given)
    assert "\n\nNothing is claimed: no cell was built on both sides.\n\n" in mail
