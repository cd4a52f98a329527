"""Mails: the answer to a patch, to a series, to each of its patches, and an ordinary run's."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, message_from_string
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import GitState, PatchRecord, Run
from matrix.record.states import State
from matrix.verdict.comparison import compare_runs, extract_patch_step
from matrix.verdict.verdict_model import Mailbox, PatchMail, VerdictPatch
from reports import FORMATS, NO_OPTIONS
from reports.limits import MAIL_BODY_LINES
from reports.mail_headers import MailOrigin
from reports.mail_run import render_run_mail
from reports.mail_verdict import format_tested_by, render_step_mails, render_verdict_mail
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, WARNING, a_cell, a_run
from tests.fakes.sides import NOWHERE, OTHER, a_side, turned
from tests.fakes.verdicts import (
    MAIL,
    TOLD_PATCH,
    Case,
    a_case,
    broken_story,
    header_fix,
    kconfig_fix,
    kept_in,
    patched,
    turning,
)
from tests.unit.reports.test_pages import ANYTHING, commands
from tests.unit.reports.test_verdict_text import (
    CASES,
    ON_POWERPC,
    RUN,
    after,
    broken,
    of_another_compiler,
    still_in_gcc,
    untried,
)

JANE = Mailbox(name="Jane Doe", address="jane@example.org")
MAKE = "make O=/tmp/kmatrix ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-"
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
# What a tool for patches would take for a tag.
TAG = re.compile(r"^\s*[\w-]+-by:", re.MULTILINE)


def read(mail: str) -> EmailMessage:
    """As a mail program reads it."""
    return message_from_bytes(mail.encode(), policy=default)


def body(mail: str) -> list[str]:
    return mail.partition("\n\n")[2].splitlines()


def people(mail: str, name: str) -> list[Address]:
    header = read(mail)[name]
    return list(header.addresses) if header else []


def answering(**fields: Any) -> str:
    """The answer to the story's patch mail with these fields."""
    return render_verdict_mail(*header_fix().having(patches=(with_mail(**fields),)).given)


def with_mail(**fields: Any) -> VerdictPatch:
    """The story's patch, its mail having these fields."""
    return TOLD_PATCH.model_copy(update={"mail": MAIL.model_copy(update=fields)})


def different(count: int, *, excerpt: tuple[str, ...], message: str = "") -> list[Diagnostic]:
    """As many errors that have nothing in common; numbers would not tell them apart."""
    names = [chr(ord("a") + number) * 3 for number in range(count)]
    fields = ({"file": f"{name}.c", "message": f"{message}{name}", "excerpt": excerpt} for name in names)
    return [OTHER.model_copy(update=one) for one in fields]


def run_told(run: Run, **fields: Any) -> str:
    return render_run_mail(a_side(run), **fields)


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


def test_it_goes_to_the_sender_and_a_copy_to_everybody_else_once() -> None:
    twice = Mailbox(name="Again", address="KVM@lists.example.org")
    mail = answering(cc=(*MAIL.cc, twice, MAIL.sender))
    assert [one.addr_spec for one in people(mail, "To")] == ["jgg@example.com"]
    assert [one.addr_spec for one in people(mail, "Cc")] == [
        "kvm@lists.example.org",
        "mpe@example.org",
        "pbonzini@example.org",
    ]
    assert read(mail)["From"] is None
    assert read(mail)["Message-ID"] is None
    assert read(mail)["Date"] is None


def test_whoever_answers_their_own_patch_does_not_write_to_themselves() -> None:
    mail = render_verdict_mail(*header_fix().given, MailOrigin(MAIL.sender))
    assert [one.addr_spec for one in people(mail, "To")] == ["kvm@lists.example.org", "mpe@example.org"]
    assert [one.addr_spec for one in people(mail, "Cc")] == ["pbonzini@example.org"]


def test_a_date_is_the_callers() -> None:
    when = datetime(2025, 6, 1, 12, tzinfo=UTC)
    assert read(render_verdict_mail(*header_fix().given, MailOrigin(JANE, when)))["Date"].datetime == when


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("[PATCH] x", "Re: [PATCH] x"),
        ("Re: [PATCH] x", "Re: [PATCH] x"),
        ("re: RE:  [PATCH] x", "Re: [PATCH] x"),
        ("größer", "Re: größer"),
        ("=?utf-8?q?a=0Ab?=", "Re: =?utf-8?q?a=0Ab?="),
        ("x\nBcc: evil@example.org", "Re: x Bcc: evil@example.org"),
        ("x\r\n\r\nbody", "Re: x body"),
    ],
)
def test_the_subject_is_the_patchs_whatever_it_holds(subject: str, told: str) -> None:
    mail = read(answering(subject=subject))
    assert mail["Subject"] == told
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    "name",
    ["Doe, Jane", 'Jane "J" Doe', "Jäne Döe", "=?utf-8?q?x?=", "дядя Ваня", "", "a\nBcc: e@x.org"],
)
def test_names_come_back_as_they_were(name: str) -> None:
    mail = answering(sender=Mailbox(name=name, address="jane@example.org"))
    (one,) = people(mail, "To")
    assert (one.display_name, one.addr_spec) == (" ".join(name.split()), "jane@example.org")
    assert read(mail)["Bcc"] is None


def test_a_long_name_is_encoded_in_words_that_are_short_enough() -> None:
    name = "дядя Ваня " * 7
    mail = answering(sender=Mailbox(name=name, address="jane@example.org"))
    words = re.findall(r"=\?utf-8\?b\?\S+\?=", mail.partition("\nCc:")[0])
    # Not put together by Python's parser, which leaves the blank between two words of a name in it.
    assert "".join(str(make_header(decode_header(word))) for word in words) == name.strip()
    assert max(map(len, words)) <= 75


@pytest.mark.parametrize(
    "address",
    [
        "a@b.org\nBcc: c@d.org",
        "a@b.org>, <c@d.org",
        "a b@c.org",
        "a,c@b.org",
        "nobody",
        "",
        "ü@b.org",
        "a@-b",
        "a@b.org\x00",
    ],
)
def test_what_is_no_address_is_left_out(address: str) -> None:
    mail = answering(cc=(Mailbox(name="X", address=address),), to=())
    assert people(mail, "Cc") == []
    assert read(mail)["Bcc"] is None


@pytest.mark.parametrize("id_", ["", "a b@c", "a@b>\nBcc: e@x.org", "a@b> <c@d", "é@x", "x" * 300 + "@y"])
def test_a_hostile_id_is_no_header(id_: str) -> None:
    mail = read(answering(message_id=id_, references=(id_, "good@example.org")))
    assert mail["In-Reply-To"] is None
    assert mail["References"] == "<good@example.org>"
    assert mail["Bcc"] is None


def test_a_long_thread_keeps_its_first_and_its_last_ids_whole() -> None:
    ids = tuple(f"{i}-{'x' * 60 * (i % 3)}@mail.example.org" for i in range(99))
    mail = answering(references=ids)
    kept = read(mail)["References"].split()
    assert kept[0] == f"<{ids[0]}>"
    assert kept[-1] == f"<{MAIL.message_id}>"
    assert kept[1:-1] == [f"<{one}>" for one in ids[-19:]]
    assert max(map(len, mail.partition("\n\n")[0].splitlines())) < 200


def test_no_line_of_a_header_is_too_long_for_many_recipients() -> None:
    cc = tuple(Mailbox(name=f"Person {i}", address=f"p{i}@example.org") for i in range(200))
    mail = answering(cc=cc)
    assert max(map(len, mail.partition("\n\nOn ")[0].splitlines())) <= 90
    assert len(people(mail, "Cc")) == 202


def test_a_patch_that_came_in_no_mail_is_told_to_nobody_under_our_own_subject() -> None:
    patch = VerdictPatch(name="fix.diff", sha256="e" * 64)
    mail = read(render_verdict_mail(*header_fix().having(patches=(patch,)).given))
    assert mail["Subject"] == "[kmatrix] fix.diff: fixes F1, breaks nothing that was looked at (98 cells)"
    assert {mail["To"], mail["In-Reply-To"], mail["References"]} == {None}


def a_series() -> tuple[Case, list[Run]]:
    """Two patches: the first breaks s390, the second mends that and the story."""
    one = patched(
        RUN,
        *turning(RUN, {"arch": "s390", "KVM": "y", "VFIO": "y"}, State.FAIL, OTHER),
        *turning(RUN, {**ON_POWERPC, "toolchain": "gcc-14"}, State.FAIL, GCC_ERROR),
        *turning(RUN, {**ON_POWERPC, "toolchain": "clang-19"}, State.FAIL, CLANG_ERROR),
        diagnostics=(OTHER,),
        id="one",
    )
    two = patched(RUN, id="two")
    sides = [a_side(run) for run in (RUN, one, two)]
    mails = [
        MAIL.model_copy(update={"message_id": f"{i}@x.org", "subject": f"[PATCH {i}/2] p{i}"}) for i in (1, 2)
    ]
    patches = tuple(
        VerdictPatch(name=f"{i}.patch", subject=f"p{i}", sha256="e" * 64, mail=mail)
        for i, mail in enumerate(mails, 1)
    )
    steps = [
        extract_patch_step(patch.name, patch.subject, compare_runs(here, there))
        for patch, here, there in zip(patches, sides[:-1], sides[1:], strict=True)
    ]
    return a_case(sides[0], sides[2], steps=steps, patches=patches), [RUN, one, two]


def test_a_series_is_answered_at_its_cover_letter_or_its_first_patch() -> None:
    case, _ = a_series()
    cover = MAIL.model_copy(
        update={"message_id": "0@x.org", "subject": "[PATCH 0/2] both", "quote": ("Hello",)}
    )
    mail = render_verdict_mail(*case.having(cover=cover).given)
    assert (read(mail)["Subject"], read(mail)["In-Reply-To"]) == ("Re: [PATCH 0/2] both", "<0@x.org>")
    assert "> Hello" in mail
    assert read(render_verdict_mail(*case.given))["In-Reply-To"] == "<1@x.org>"


def test_a_series_that_breaks_on_the_way_says_where() -> None:
    case, _ = a_series()
    told = " ".join(body(render_verdict_mail(*case.given)))
    assert "By itself, 1.patch (p1): 4 cells broken, 1 finding new." in told
    assert "2.patch" not in told


def test_each_patch_has_an_answer_of_its_own() -> None:
    case, runs = a_series()
    sides = [a_side(run) for run in runs]
    first, second = render_step_mails(case.verdict, sides)
    assert [read(mail)["In-Reply-To"] for mail in (first, second)] == ["<1@x.org>", "<2@x.org>"]
    assert "This breaks 4 cells (1 new error)." in first
    assert "Built on top of" not in first
    assert "This fixes 2 errors and breaks nothing" in second
    assert "Built on top of the patches before it." in second
    assert TAG.findall(first + second) == []


def test_answers_to_each_take_a_run_for_each() -> None:
    case, runs = a_series()
    with pytest.raises(ValueError, match="zip"):
        render_step_mails(case.verdict, [a_side(run) for run in runs[:2]])


def test_a_patch_that_does_not_apply_is_named_with_what_was_built_until_there() -> None:
    third = VerdictPatch(name="3.patch", subject="third", sha256="e" * 64, refused="hunk 1 of Makefile fails")
    case, _ = a_series()
    mail = render_verdict_mail(*case.having(patches=(*case.verdict.patches, third)).given)
    assert "Patch 3 of 3 (third) does not apply, so this is on what stands before it: hunk 1 of" in " ".join(
        body(mail)
    )


def test_the_tag_is_that_of_whoever_ran_it_and_only_when_given() -> None:
    assert format_tested_by(JANE) == "Tested-by: Jane Doe <jane@example.org> # build"
    assert format_tested_by(Mailbox(name="a\n b\t", address="c")) == "Tested-by: a b <c> # build"
    assert TAG.findall(render_verdict_mail(*header_fix().given, MailOrigin(JANE))) == []


@pytest.mark.parametrize(
    "words",
    ["Reviewed-by: Evil <e@example.org>", "  tested-BY: x", "Fixes: 0123", "diff --git a/x b/x", "Link: x"],
)
def test_nothing_foreign_becomes_a_tag_a_link_or_a_diff(words: str) -> None:
    for mail in (hostile_mail(words), run_told(hostile_run(words))):
        # Tools look for tags behind blanks too; a diff begins where its line does.
        lines = body(mail) if words.startswith("diff") else [line.strip() for line in body(mail)]
        assert not any(line.lower().startswith(words.strip().lower()) for line in lines)


def hostile_run(words: str) -> Run:
    odd = Diagnostic(severity="error", tool=words, message=words, excerpt=(words,), notes=(words,))
    cell = a_cell(state=State.FAIL, diagnostics=[odd], make=words)
    return a_run([cell, a_cell("x86", state=State.INFRA, reason=words)], [odd])


def hostile_mail(words: str) -> str:
    """An answer in which everything foreign says the same."""
    odd = Diagnostic(severity="error", tool=words, message=words, excerpt=(words,), notes=(words,))
    box = Mailbox(name=words, address=words)
    mail = PatchMail(
        message_id=words, subject=words, sender=box, to=(box,), cc=(box,), references=(words,), date=words,
        quote=(words,),
    )  # fmt: skip
    case = after(
        *turning(RUN, {"arch": "x86"}, State.FAIL, odd),
        *turning(RUN, {"arch": "s390"}, State.UNREACHABLE, reason=words),
        *turning(RUN, {"arch": "arm64"}, State.TIMEOUT, reason=words),
        diagnostics=(odd,),
    )
    patch = VerdictPatch(name=words, subject=words, sha256="f" * 64, mail=mail, refused=words)
    return render_verdict_mail(*case.having(patches=(patch,), base_differs=words, notes=(words,)).given)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING)
def test_no_words_add_a_header_or_reach_the_terminal_as_a_command(words: str) -> None:
    mail = hostile_mail(words)
    assert commands(mail) == []
    names = [name.lower() for name in read(mail)]
    assert len(names) == len(set(names))
    assert set(names) <= {
        "to", "cc", "subject", "in-reply-to", "references", "mime-version", "content-type",
        "content-transfer-encoding",
    }  # fmt: skip


def test_it_is_plain_utf_8_without_flowing() -> None:
    mail = read(answering(quote=("naïve",)))
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content_charset() == "utf-8"
    assert mail["Content-Transfer-Encoding"] == "8bit"
    assert "format" not in mail["Content-Type"].params
    assert "> naïve" in mail.get_content()


def test_a_path_of_ours_is_not_told_but_a_commit_is() -> None:
    git = GitState(commit="0123" * 10, describe="v6.12-3-g0123", dirty=False)
    ours = {"spec": "/home/jane/secret/linux@HEAD", "git": git}
    run = RUN.model_copy(update={"source": RUN.source.model_copy(update=ours)})
    mail = render_verdict_mail(*a_case(a_side(run), a_side(patched(run))).given)
    assert "/home" not in mail + run_told(run)
    assert f"Linux 6.12.48, v6.12-3-g0123 (commit {git.commit})" in " ".join(body(mail))
    bare = run.model_copy(update={"source": run.source.model_copy(update={"git": None})})
    assert "tree:      Linux 6.12.48, linux@HEAD, sha256 4f1c4f1c4f1c\n" in run_told(bare)


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


def test_it_begins_with_its_headers() -> None:
    mail = FORMATS["mail"].render_verdict(*header_fix().given, NO_OPTIONS)
    assert mail.startswith("To: Jason Gunthorpe <jgg@example.com>\n")
    assert message_from_string(mail).defects == []
    assert str(NOWHERE) not in mail
