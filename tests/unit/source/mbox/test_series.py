import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.source.mbox.series import PatchSeries, read_series
from tests.fakes.mails import NOTHING, a_diff, a_mail, a_mbox, a_patch, answering
from tests.stopwatch import limit_cpu

Put = Callable[[str, str], str]
QUOTED = "".join(f"> {line}\n" for line in a_patch("one").split("\n"))


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def titles(series: PatchSeries) -> list[str]:
    return [patch.mail.subject if patch.mail else "" for patch in series.patches]


def touched(series: PatchSeries) -> list[str]:
    return [path for patch in series.patches for path in patch.paths]


def a_version(
    names: Sequence[str],
    tag: str = "",
    cover: bool = True,
    key: str = "",
    sender: str = "a",
    parent: str = "",
) -> list[str]:
    """The mails of a whole series: a cover letter and a patch for each name, as git sends them."""
    key, total = key or tag.strip() or "v1", len(names)
    more: Mapping[str, str] = answering(parent) if parent else NOTHING
    written = {"From": f"{sender} <{sender}@example.org>"}
    letter = a_mail(f"[PATCH {tag}0/{total}] all of it", "Three.\n", f"{key}-0", {**written, **more})
    mails = [
        a_mail(
            f"[PATCH {tag}{number}/{total}] fix {name}",
            a_patch(name),
            f"{key}-{number}",
            written | dict(answering(f"{key}-0")),
        )
        for number, name in enumerate(names, start=1)
    ]
    return [letter, *mails] if cover else mails


def test_a_bare_diff_is_a_series_of_one_named_like_its_file(put: Put) -> None:
    series = read_series(put("fix.diff", a_diff()))
    (patch,) = series.patches
    assert (patch.name, patch.paths, patch.mail) == ("fix.diff", ("virt/x.c",), None)
    assert patch.sha256 == hashlib.sha256(a_diff().encode()).hexdigest()
    assert (series.cover, series.version, series.base_commit, series.notes) == (None, 1, None, ())


def test_a_formatted_patch_is_a_series_of_one_that_answers_to_its_mail(put: Put) -> None:
    text = a_mbox([a_mail("[PATCH v2] fix it", a_patch())])
    series = read_series(put("0001-fix-it.patch", text))
    assert series.patches[0].name == "0001-fix-it.patch"
    assert series.patches[0].sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (titles(series), series.version) == (["[PATCH v2] fix it"], 2)
    assert series.cover is None


def test_one_patch_of_several_given_alone_is_what_is_wanted(put: Put) -> None:
    series = read_series(put("0002-fix.patch", a_mail("[PATCH 2/3] fix it", a_patch(), "2")))
    assert titles(series) == ["[PATCH 2/3] fix it"]


def test_a_mailbox_s_patches_are_in_the_order_of_their_numbers(put: Put) -> None:
    letter, *patches = a_version(["one", "two", "three"])
    series = read_series(put("t.mbox", a_mbox([patches[2], patches[0], letter, patches[1]])))
    assert touched(series) == ["virt/one.c", "virt/two.c", "virt/three.c"]
    assert series.cover is not None
    assert series.cover.id == "v1-0"
    assert [patch.name for patch in series.patches] == [
        "0001-fix-one.patch",
        "0002-fix-two.patch",
        "0003-fix-three.patch",
    ]


def test_each_patch_of_a_mailbox_has_its_own_hash_and_content(put: Put) -> None:
    first, second = read_series(put("t.mbox", a_mbox(a_version(["one", "two"])))).patches
    assert first.sha256 != second.sha256
    assert b"two.c" not in first.content
    assert first.content.startswith(b"It breaks the build.\n")


def test_a_series_without_a_cover_letter_is_whole(put: Put) -> None:
    series = read_series(put("t.mbox", a_mbox(a_version(["one", "two"], cover=False))))
    assert touched(series) == ["virt/one.c", "virt/two.c"]
    assert series.cover is None


def test_replies_are_no_patches_whatever_they_quote(put: Put) -> None:
    reply = a_mail(
        "Re: [PATCH 1/2] fix one", f"{QUOTED}\nTested-by: B <b@example.org>\n", "r", answering("v1-1")
    )
    series = read_series(put("t.mbox", a_mbox([*a_version(["one", "two"]), reply])))
    assert touched(series) == ["virt/one.c", "virt/two.c"]
    assert all(b"Tested-by" not in patch.content for patch in series.patches)
    assert series.notes == ()


def test_a_diff_in_a_reply_is_left_out_and_that_is_told(put: Put) -> None:
    reply = a_mail("Re: [PATCH 1/2] fix one", f"Or rather this:\n\n{a_diff('other')}", "r", answering("v1-1"))
    series = read_series(put("t.mbox", a_mbox([*a_version(["one", "two"]), reply])))
    assert touched(series) == ["virt/one.c", "virt/two.c"]
    assert series.notes == ("left out, as they are no patches of the series, though they hold a diff: r",)


def test_a_mail_that_a_program_sends_about_a_patch_is_left_out(put: Put) -> None:
    told = a_mail('Patch "fix one" has been added to a queue', a_patch("one"), "q", answering("v1-1"))
    series = read_series(put("t.mbox", a_mbox([*a_version(["one", "two"]), told])))
    assert touched(series) == ["virt/one.c", "virt/two.c"]


def test_a_message_that_came_twice_counts_once(put: Put) -> None:
    mails = a_version(["one", "two"])
    assert len(read_series(put("t.mbox", a_mbox([*mails, *mails]))).patches) == 2


def test_the_newest_version_is_taken_and_that_is_told(put: Put) -> None:
    old = a_version(["one", "two"])
    new = a_version(["one", "three", "four"], "v3 ", parent="v1-0")
    series = read_series(put("t.mbox", a_mbox([*new, *old])))
    assert (series.version, touched(series)) == (3, ["virt/one.c", "virt/three.c", "virt/four.c"])
    assert series.notes == ("v3 is taken, the newest whole version of v1, v3",)


def test_a_newer_version_that_is_not_whole_is_left_out_and_that_is_told(put: Put) -> None:
    old, new = a_version(["one", "two"]), a_version(["one", "two"], "v2 ")
    series = read_series(put("t.mbox", a_mbox([*old, *new[:-1]])))
    assert series.version == 1
    assert series.notes == (
        "v1 is taken, the newest whole version of v1, v2",
        "v2 is left out, as it is not whole: 2/2 is missing",
    )


def test_what_is_sent_again_is_newer_than_what_it_repeats(put: Put) -> None:
    old, new = a_version(["one", "two"], "v2 "), a_version(["one", "other"], "RESEND v2 ")
    series = read_series(put("t.mbox", a_mbox([*new, *old])))
    assert touched(series) == ["virt/one.c", "virt/other.c"]
    assert series.notes == ("v2 resent is taken, the newest whole version of v2, v2 resent",)


def test_versions_of_one_sender_in_one_thread_need_no_title_in_common(put: Put) -> None:
    first = a_mail("[PATCH] fix it", a_patch("one"), "1")
    second = a_mail("[PATCH v2] repair it", a_patch("two"), "2", answering("1"))
    assert touched(read_series(put("t.mbox", a_mbox([first, second])))) == ["virt/two.c"]


def test_versions_in_threads_of_their_own_are_known_by_a_title(put: Put) -> None:
    first = a_mail("[PATCH] fix it", a_patch("one"), "1")
    second = a_mail("[PATCH v2] Fix it", a_patch("two"), "2", {"From": "B <b@example.org>"})
    assert touched(read_series(put("t.mbox", a_mbox([first, second])))) == ["virt/two.c"]


@pytest.mark.parametrize(
    ("gone", "told"), [([2], "2/3 is missing"), ([1, 3], "1/3, 3/3 are missing"), ([3], "3/3 is missing")]
)
def test_a_series_with_a_hole_is_refused_with_what_is_missing(put: Put, gone: list[int], told: str) -> None:
    mails = [
        mail for number, mail in enumerate(a_version(["one", "two", "three"], "v2 ")) if number not in gone
    ]
    with pytest.raises(RequestError, match=f"'all of it' \\(v2\\) in .* is not whole: {told}") as caught:
        read_series(put("t.mbox", a_mbox(mails)))
    assert "--message ID" in caught.value.hint


def test_a_cover_letter_without_its_patches_is_no_licence_for_another_diff(put: Put) -> None:
    reply = a_mail("Re: [PATCH 0/2] all of it", a_diff("other"), "r", answering("v1-0"))
    with pytest.raises(RequestError, match="1/2, 2/2 are missing"):
        read_series(put("t.mbox", a_mbox([*a_version(["one", "two"])[:1], reply])))


def test_a_patch_that_is_there_twice_is_refused(put: Put) -> None:
    other = a_mail("[PATCH 2/2] fix other", a_patch("other"), "o", answering("v1-0"))
    with pytest.raises(RequestError, match="2/2 is there twice"):
        read_series(put("t.mbox", a_mbox([*a_version(["one", "two"]), other])))


def test_different_series_are_refused_with_their_names(put: Put) -> None:
    one = a_version(["one", "two"])
    rival = a_mail("[PATCH] do it otherwise", a_patch("other"), "rival", answering("v1-0"))
    with pytest.raises(RequestError, match="holds several series") as caught:
        read_series(put("t.mbox", a_mbox([*one, rival])))
    assert "v1, 2 patches, 'all of it' <v1-0>" in str(caught.value)
    assert "v1, 1 patch, 'do it otherwise' <rival>" in str(caught.value)
    assert "--message ID" in caught.value.hint


@pytest.mark.parametrize("more", [{"From": "B <b@example.org>"} | dict(answering("v1-0")), {}])
def test_a_newer_version_of_something_else_does_not_win(put: Put, more: Mapping[str, str]) -> None:
    """Another sender's in the thread, or the same one's in another."""
    rival = a_mail("[PATCH v2] do it otherwise", a_patch("other"), "rival", more)
    with pytest.raises(RequestError, match="holds several series"):
        read_series(put("t.mbox", a_mbox([*a_version(["one", "two"]), rival])))


def test_a_cover_letter_of_something_else_is_another_series(put: Put) -> None:
    stray = a_mail("[PATCH 0/7] something else", "Seven.\n", "stray")
    with pytest.raises(RequestError, match="holds several series"):
        read_series(put("t.mbox", a_mbox([*a_version(["one", "two"]), stray])))


def test_a_diff_in_a_cover_letter_is_no_patch(put: Put) -> None:
    letter, *patches = a_version(["one", "two"])
    series = read_series(put("t.mbox", a_mbox([f"{letter}\n{a_diff('interdiff')}", *patches])))
    assert touched(series) == ["virt/one.c", "virt/two.c"]


@pytest.mark.parametrize("cover", [True, False])
def test_series_that_look_alike_are_told_apart_by_what_they_answer(put: Put, cover: bool) -> None:
    mails = [
        *a_version(["one", "two"], cover=cover, key="a"),
        *a_version(["three", "four"], cover=cover, key="b"),
    ]
    if not cover:
        mails = [mail.replace("a-0>", "a-1>").replace("b-0>", "b-1>") for mail in mails]
    with pytest.raises(RequestError, match="holds several series") as caught:
        read_series(put("t.mbox", a_mbox(mails)))
    assert str(caught.value).count("v1, 2 patches") == 2


def test_a_cover_letter_s_id_takes_its_series(put: Put) -> None:
    mails = a_mbox([*a_version(["one", "two"], key="a"), *a_version(["three", "four"], key="b")])
    series = read_series(put("t.mbox", mails), message="a-0")
    assert touched(series) == ["virt/one.c", "virt/two.c"]
    assert series.cover is not None


def test_a_cover_letter_is_found_by_its_id_though_git_s_own_copy_lies_beside_it(
    tmp_path: Path, put: Put
) -> None:
    mails = a_version(["one", "two"])
    put("0000-cover-letter.patch", mails[0].replace("Message-ID", "X-Id"))
    put("1.mbox", a_mbox(mails))
    series = read_series(str(tmp_path), message="v1-0")
    assert series.cover is not None
    assert series.cover.id == "v1-0"


def test_a_cover_letter_s_id_does_not_make_a_series_whole(put: Put) -> None:
    with pytest.raises(RequestError, match="2/2 is missing"):
        read_series(put("t.mbox", a_mbox(a_version(["one", "two"])[:-1])), message="v1-0")


@pytest.mark.parametrize("message", ["r@example.org", "<r@example.org>", " <r@example.org> "])
def test_a_mail_s_id_takes_the_bare_diff_that_stands_in_its_text(put: Put, message: str) -> None:
    body = f"> I cannot say why.\n\nBecause of the stub. What about this?\n\n{a_diff('other')}\nThanks,\nB\n"
    reply = a_mail("Re: [PATCH 1/2] fix one", body, "r@example.org", answering("v1-1"))
    series = read_series(put("t.mbox", a_mbox([*a_version(["one", "two"]), reply])), message=message)
    assert touched(series) == ["virt/other.c"]
    assert series.cover is None
    mail = series.patches[0].mail
    assert mail is not None
    assert mail.subject == "Re: [PATCH 1/2] fix one"


def test_a_mail_s_id_takes_one_patch_out_of_a_series(put: Put) -> None:
    series = read_series(put("t.mbox", a_mbox(a_version(["one", "two"], "v2 "))), message="v2-2")
    assert (touched(series), series.version) == (["virt/two.c"], 2)
    assert series.patches[0].name == "0002-fix-two.patch"


def test_an_unknown_id_is_refused_with_the_nearest_and_with_those_that_hold_a_diff(put: Put) -> None:
    spec = put("t.mbox", a_mbox(a_version(["one", "two"])))
    with pytest.raises(RequestError, match=r"no mail with the id 'v1-3' \(nearest: 'v1-") as caught:
        read_series(spec, message="v1-3")
    assert caught.value.hint == "These mails hold one: v1-1, v1-2"


@pytest.mark.parametrize("message", ["<>", " "])
def test_an_empty_id_is_no_mail_s(put: Put, message: str) -> None:
    with pytest.raises(RequestError, match="no mail with the id ''"):
        read_series(put("x.patch", a_mail("[PATCH] fix it", a_patch())), message=message)


def test_a_mail_that_only_quotes_a_diff_is_refused_by_its_id(put: Put) -> None:
    reply = a_mail("Re: [PATCH 1/2] fix one", QUOTED, "r", answering("v1-1"))
    with pytest.raises(RequestError, match=r"the mail r in .* holds no diff of its own"):
        read_series(put("t.mbox", a_mbox([*a_version(["one", "two"]), reply])), message="r")


def test_the_only_diff_of_a_thread_is_taken_though_it_is_in_a_reply(put: Put) -> None:
    report = a_mail("It breaks", "In powerpc.\n", "1")
    reply = a_mail("Re: It breaks", f"This?\n\n{a_diff()}", "2", answering("1"))
    assert touched(read_series(put("t.mbox", a_mbox([report, reply])))) == ["virt/x.c"]


def test_a_mail_of_its_own_is_rather_meant_than_a_reply(put: Put) -> None:
    patch = a_mail("fix it", a_patch("one"), "1")
    reply = a_mail("Re: fix it", a_diff("two"), "2", answering("1"))
    series = read_series(put("t.mbox", a_mbox([patch, reply])))
    assert touched(series) == ["virt/one.c"]


def test_several_diffs_in_replies_are_several_series(put: Put) -> None:
    replies = [a_mail("Re: It breaks", a_diff(name), name) for name in ("one", "two")]
    with pytest.raises(RequestError, match="holds several series"):
        read_series(put("t.mbox", a_mbox(replies)))


def test_a_directory_is_what_git_put_into_it(tmp_path: Path, put: Put) -> None:
    letter, *patches = [mail.replace("Message-ID", "X-Id") for mail in a_version(["one", "two"])]
    put("0000-cover-letter.patch", a_mbox([letter]))
    put("0002-fix-two.patch", a_mbox([patches[1]]))
    put("0001-fix-one.patch", a_mbox([patches[0]]))
    put("notes.txt", a_diff("notes"))
    series = read_series(str(tmp_path))
    assert [patch.name for patch in series.patches] == ["0001-fix-one.patch", "0002-fix-two.patch"]
    assert series.cover is not None


def test_a_directory_of_bare_diffs_is_in_the_order_of_its_names(tmp_path: Path, put: Put) -> None:
    put("2.patch", a_diff("two"))
    put("10.patch", f"From: A <a@example.org>\nSubject: ten\n\n{a_diff('ten')}")
    put("1.patch", a_diff("one"))
    assert touched(read_series(str(tmp_path))) == ["virt/one.c", "virt/ten.c", "virt/two.c"]


def test_two_versions_in_one_directory_are_told_apart(tmp_path: Path, put: Put) -> None:
    for version in ("", "v2 "):
        for number, mail in enumerate(a_version(["one", "two"], version, cover=False)):
            put(f"{version.strip()}-{number}.patch", mail.replace("Message-ID", "X-Id"))
    assert read_series(str(tmp_path)).version == 2


def test_a_loose_patch_beside_a_series_is_not_put_into_some_place(tmp_path: Path, put: Put) -> None:
    put("1.mbox", a_mbox(a_version(["one", "two"])))
    put("2.patch", a_diff("three"))
    with pytest.raises(RequestError, match="holds several series"):
        read_series(str(tmp_path))


def test_a_directory_without_patches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"holds no patch: no \*\.patch, \*\.mbox, \*\.eml"):
        read_series(str(tmp_path))


def test_the_standard_input_is_read_where_it_is_given() -> None:
    b4 = [
        mail.replace("\n---\n", "\nTested-by: B <b@example.org>\n---\n") for mail in a_version(["one", "two"])
    ]
    given = io.BytesIO(a_mbox(b4[1:], "From git@z Thu Jan  1 00:00:00 1970\n").encode())
    assert touched(read_series("-", stdin=given)) == ["virt/one.c", "virt/two.c"]
    assert read_series("-", stdin=io.BytesIO(a_diff().encode())).patches[0].name == "stdin"


def test_the_standard_input_is_refused_where_it_would_be_read_twice() -> None:
    with pytest.raises(RequestError, match="only once"):
        read_series("-")


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(("index", "found"), [(0, COMMIT), (1, COMMIT), (2, None)])
def test_the_base_commit_is_in_the_cover_letter_or_the_first_patch(
    put: Put, index: int, found: str | None
) -> None:
    mails = a_version(["one", "two"])
    mails[index] += f"\nbase-commit: {COMMIT}\n"
    assert read_series(put("t.mbox", a_mbox(mails))).base_commit == found


def test_a_base_commit_that_is_quoted_or_inside_a_hunk_is_none(put: Put) -> None:
    diff = a_diff().replace("+int new;", f"+base-commit: {COMMIT}")
    assert read_series(put("x.diff", f"> base-commit: {COMMIT}\n{diff}")).base_commit is None


@pytest.mark.parametrize(
    "text",
    ["", "Hello.\n", "From: somebody\n\nHello.\n", "@@ -1 +1 @@\n-a\n+b\n", a_mbox(["", ""]), "\0" * 999],
)
def test_what_holds_no_diff_is_refused(put: Put, text: str) -> None:
    with pytest.raises(RequestError, match=r"x\.patch holds no diff"):
        read_series(put("x.patch", text))


def test_a_patch_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"x\.patch cannot be read: No such file"):
        read_series(str(tmp_path / "x.patch"))


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(RequestError, match="zero has more than 64 MiB"):
        read_series("/dev/zero")


def test_a_patch_of_a_series_that_reaches_out_of_the_tree_is_refused_by_its_name(put: Put) -> None:
    mails = a_version(["one", "../two"])
    with pytest.raises(
        RequestError, match=r"0002-fix-two\.patch touches 'virt/\.\./two\.c', which is no path"
    ):
        read_series(put("t.mbox", a_mbox(mails)))


def test_a_name_is_made_of_plain_letters_only(put: Put) -> None:
    mails = a_version(["one", "two"])
    mails[2] = mails[2].replace("fix two", "=?utf-8?q?=1B[2J/../f=C3=BCr?= " + "x" * 99)
    name = read_series(put("t.mbox", a_mbox(mails))).patches[1].name
    assert name == f"0002-2J-f-r-{'x' * 45}.patch"


def test_a_title_in_a_refusal_is_shown_with_its_control_characters_escaped(put: Put) -> None:
    mails = [mail.replace("all of it", "=?utf-8?q?=1B[2J?=") for mail in a_version(["one", "two"])]
    with pytest.raises(RequestError, match="not whole") as caught:
        read_series(put("t.mbox", a_mbox(mails[:-1])))
    assert "\x1b" not in str(caught.value)


def test_a_huge_mailbox_is_read_in_no_time(put: Put) -> None:
    reply = a_mail("Re: [PATCH 1/2] fix one", "> x\n", "ID", answering("v1-1"))
    replies = [reply.replace("ID", str(number)) for number in range(2000)]
    leads = [mail for key in range(500) for mail in a_version(["one", "two"], key=f"k{key}-")]
    with limit_cpu(20):
        with pytest.raises(RequestError, match="holds several series") as caught:
            read_series(put("t.mbox", a_mbox([*leads, *replies])))
        assert str(caught.value).count("\n") == 10
