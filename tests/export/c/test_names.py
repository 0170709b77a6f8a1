"""The name that starts every identifier and file of an export."""

from __future__ import annotations

import pytest

from edgekit.errors import BadConfig
from edgekit.export.c.interface import check_name


@pytest.mark.parametrize("name", ["int", "class", "main", "string", "stdint", "Math"])
def test_words_and_headers_of_c_are_refused_as_such(name: str) -> None:
    with pytest.raises(BadConfig, match="a word or a header of C"):
        check_name(name)


@pytest.mark.parametrize("name", ["9net", "a b", "a__b", "../a", "", "é"])
def test_what_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(BadConfig) as caught:
        check_name(name)
    assert "starting with a letter" in caught.value.hint


def test_others_pass() -> None:
    assert check_name("kws_2") == "kws_2"
