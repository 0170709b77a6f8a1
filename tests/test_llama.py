"""The small language model of benchmarks/llama.py: one token a run with a cache is the whole text at once without one."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.llama_net import Words, example_inputs, net, plain


def checkpoint(path: Path, words: int) -> Path:
    """A random network: width 8, hidden 12, 2 layers, 4 heads on 2 keys, texts of up to 10."""
    sizes, rng = (8, 12, 2, 4, 2, words, 10), np.random.default_rng(0)
    count = abs(words) * 8 + 2 * (8 + 64 + 32 + 32 + 64 + 8 + 3 * 96) + 8 + (abs(words) * 8 if words < 0 else 0)
    tables = rng.normal(scale=0.4, size=count).astype("<f4")
    angles = np.arange(10)[:, None] * np.array([[1.0]])
    rotation = np.concatenate([np.cos(angles), np.sin(angles)]).astype("<f4").reshape(-1)
    at = abs(words) * 8 + 2 * (8 + 64 + 32 + 32 + 64 + 8 + 3 * 96) + 8
    path.write_bytes(np.array(sizes, "<i4").tobytes() + np.concatenate([tables[:at], rotation, tables[at:]]).tobytes())
    return path


@pytest.mark.parametrize("words", [20, -20], ids=["classifier is the embedding", "classifier of its own"])
def test_a_token_a_run_is_the_text_at_once(words: int, tmp_path: Path) -> None:
    file, tokens = checkpoint(tmp_path / "net.bin", words), [1, 7, 7, 3, 19, 0]
    module = net(str(file), "8")
    held = list(example_inputs()[2:])
    expected = plain(tokens, file)
    with torch.no_grad():
        for place, token in enumerate(tokens):
            scores, *held = module(torch.tensor([token]), torch.tensor([place]), *held)
            np.testing.assert_allclose(scores[0].numpy(), expected[place], atol=1e-4)


def test_a_checkpoint_cut_short_is_refused(tmp_path: Path) -> None:
    file = checkpoint(tmp_path / "net.bin", 20)
    file.write_bytes(file.read_bytes() + b"\0\0\0\0")
    with pytest.raises(ValueError, match="numbers"):
        net(str(file))


def test_text_becomes_the_longest_known_pieces_and_back(tmp_path: Path) -> None:
    pieces = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % i for i in range(256)), b" ", b"a", b"b", b"ab", b" ab"]
    data = struct.pack("<i", 6)
    for number, piece in enumerate(pieces):
        data += struct.pack("<fi", float(number), len(piece)) + piece
    (tmp_path / "words.bin").write_bytes(data)
    words = Words(tmp_path / "words.bin", len(pieces))
    tokens = words.encode("abé")
    assert [pieces[t] for t in tokens] == [b"<s>", b" ab", b"<0xC3>", b"<0xA9>"]
    assert words.decode(tokens) == " abé"
