"""The line protocol of exported projects: what a board may send, and what is refused."""

from __future__ import annotations

import pytest

from edgekit.errors import BadData
from edgekit.export.project import Run, SelfTest, read_selftest

GOOD = """edgekit 1 kws 2
run 0 status 0 different 0 us 45120 argmax 3 label go left
run 1 status 0 different 0 us 45118 argmax 0 label yes
end pass
"""


def test_all_fields() -> None:
    runs = (Run(0, 0, 0, 3, 45120, "go left"), Run(1, 0, 0, 0, 45118, "yes"))
    assert read_selftest(GOOD) == SelfTest("kws", 2, runs, True)


def test_a_board_without_clock_and_labels() -> None:
    text = "edgekit 1 net 1\nrun 0 status 0 different 0 argmax 0\nend pass"
    assert read_selftest(text).runs == (Run(0, 0, 0, 0),)


def test_boot_messages_line_ends_and_a_reset_do_not_matter() -> None:
    noise = "ets Jun  8 2016\r\nI (31) boot: ESP-IDF\r\n\r\n"
    cut = "\r\n".join(GOOD.splitlines()[:2]) + "\r\n"
    text = noise + cut + noise + GOOD.replace("\n", "\r\n") + "I (900) main_task: Returned from app_main()\r\n"
    assert read_selftest(text) == read_selftest(GOOD)
    lost = GOOD.replace("run 1", "I (5) wifi: up\nrun 1")
    assert read_selftest(lost) == read_selftest(GOOD)


def test_failures() -> None:
    text = GOOD.replace("run 1 status 0 different 0", "run 1 status 1 different 7").replace("pass", "fail")
    found = read_selftest(text)
    assert not found.passed
    assert [run.passed for run in found.runs] == [True, False]
    early = read_selftest("edgekit 1 net 4\nerror the arena is too small\nend fail\n")
    assert (early.passed, early.error, early.runs, early.vectors) == (False, "the arena is too small", (), 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not the output"),
        ("Hello World!\n", "not the output"),
        (GOOD.replace("edgekit 1", "edgekit 2"), "version 2"),
        (GOOD.replace("end pass\n", ""), "did not come to its end: 2 of 2"),
        (GOOD.replace("run 1", "run 2"), r"announced 2 vectors and printed \[0, 2\]"),
        ("edgekit 1 kws 2\nrun 0 status 0 different 0 argmax 3\nend pass\n", r"printed \[0\]"),
        (GOOD.replace("different 0", "different 3"), "says 'pass'"),
        (GOOD.replace("end pass", "end fail"), "says 'fail'"),
        (GOOD.replace("different 0", "diffxrent 0"), "cannot read the line"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadData, match=said):
        read_selftest(text)
