"""To whom an answer goes, under which subject, in which thread; and no header that is foreign."""

import re
from datetime import UTC, datetime
from email import message_from_string
from email.header import decode_header, make_header

import pytest

from matrix.verdict.verdict_model import Mailbox, VerdictPatch
from reports import FORMATS, NO_OPTIONS
from reports.mail_headers import MailOrigin
from reports.mail_verdict import render_verdict_mail
from tests.fakes.sides import NOWHERE
from tests.fakes.verdicts import MAIL, header_fix
from tests.unit.reports.mail_reading import JANE, answering, people, read


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


def test_it_is_plain_utf_8_without_flowing() -> None:
    mail = read(answering(quote=("naïve",)))
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content_charset() == "utf-8"
    assert mail["Content-Transfer-Encoding"] == "8bit"
    assert "format" not in mail["Content-Type"].params
    assert "> naïve" in mail.get_content()


def test_it_begins_with_its_headers() -> None:
    mail = FORMATS["mail"].render_verdict(*header_fix().given, NO_OPTIONS)
    assert mail.startswith("To: Jason Gunthorpe <jgg@example.com>\n")
    assert message_from_string(mail).defects == []
    assert str(NOWHERE) not in mail
