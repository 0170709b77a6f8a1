"""A few networks of benchmarks/pixels, from PyTorch to float and int8 C and TFLite-Micro."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import pixels

SAMPLE = {"autoencoder": 1, "yolo": 2}  # network -> its outputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pixels")
    pixels.exported(list(SAMPLE), made)
    return made


@pytest.mark.parametrize("net", SAMPLE)
def test_networks_of_pixels(net: str, folder: Path) -> None:
    row = pixels.measure(net, folder)
    assert row.good, row
    assert len(row.int8_db) == SAMPLE[net]
    assert min(row.int8_db) > 28


def test_the_list_is_the_files() -> None:
    text = pixels.NETS_FILE.read_text("utf-8")
    assert all(f'"{net}": (' in text for net in pixels.NETS)
