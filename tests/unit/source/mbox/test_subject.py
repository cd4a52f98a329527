import pytest

from matrix.source.mbox.message import PatchSubject, parse_subject


@pytest.mark.parametrize(
    ("text", "version", "number", "total"),
    [
        ("[PATCH] fix it", 1, 0, 0),
        ("[PATCH v2] fix it", 2, 0, 0),
        ("[PATCH 1/2] fix it", 1, 1, 2),
        ("[PATCH v3 0/3] fix it", 3, 0, 3),
        ("[PATCH net-next v3 02/10] fix it", 3, 2, 10),
        ("[PATCH 6.12 1/2 v4] fix it", 4, 1, 2),
        ("[PATCHv2 1/2] fix it", 2, 1, 2),
        ("[RFC PATCH v2 1/1] fix it", 2, 1, 1),
        ("[RFCv2 1/1] fix it", 2, 1, 1),
        ("[v2,2/3] fix it", 2, 2, 3),
        ("[Some-list] [PATCH V2 1/2]fix it", 2, 1, 2),
        ("[PATCH v2.1 1/2] fix it", 2, 1, 2),
    ],
)
def test_the_brackets_say_version_and_number(text: str, version: int, number: int, total: int) -> None:
    assert parse_subject(text) == PatchSubject("fix it", False, True, version, False, number, total)


@pytest.mark.parametrize("text", ["[PATCH RESEND v2] fix it", "[RESEND][PATCH v2] fix it"])
def test_what_is_sent_again_says_so(text: str) -> None:
    assert parse_subject(text) == PatchSubject("fix it", is_tagged=True, version=2, is_resend=True)


@pytest.mark.parametrize("text", ["fix it", "[kvm] fix it", "[1/0] fix it"])
def test_other_brackets_make_no_patch(text: str) -> None:
    assert not parse_subject(text).is_tagged


@pytest.mark.parametrize("text", ["Re: [PATCH v2 1/2] fix it", "RE: fix it", "Aw: fix it", "Re[2]: fix it"])
def test_a_reply_has_neither_version_nor_number(text: str) -> None:
    assert parse_subject(text) == PatchSubject("fix it", is_reply=True)


def test_only_a_number_zero_of_some_is_a_cover_letter() -> None:
    texts = ["[PATCH 0/2] x", "[PATCH 00/12] x", "[PATCH 1/2] x", "[PATCH] x", "Re: [PATCH 0/2] x"]
    assert [parse_subject(text).is_cover for text in texts] == [True, True, False, False, False]


@pytest.mark.parametrize("word", ["3/2", "1/1000000000", "²/³", "1/2/3"])
def test_what_cannot_be_a_number_is_none(word: str) -> None:
    assert parse_subject(f"[PATCH {word}] fix it").total == 0


def test_brackets_inside_a_title_belong_to_it() -> None:
    assert parse_subject("[PATCH] a[1/2] [v2]").title == "a[1/2] [v2]"
