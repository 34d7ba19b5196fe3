"""Spellings of the same letters."""

import pytest

from sc_gpu.transcribe.spelling import choose_spelling


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([("a street car.", -5.0), ("a streetcar", -5.9)], 1),
        ([("a street car.", -5.0), ("a streetcar.", -6.1)], 0),
        ([("a street car.", -5.0), ("a street care.", -5.1), ("A streetcar.", -5.2)], 2),
        ([("weit aus", -5.0), ("weitauf", -5.1)], 0),
        ([("die Huygens-Sonde", -5.0), ("die Huygenssonde", -5.1)], 0),
        ([("a streetcar", -5.0), ("a street car", -5.0)], 0),
        ([("", -1.0), (" ", -1.0)], 0),
    ],
    ids=["joined", "too unlikely", "third", "other letters", "hyphen stays", "already joined", "silence"],
)
def test_the_joined_spelling_of_equally_likely_ones(candidates: list[tuple[str, float]], chosen: int) -> None:
    assert choose_spelling(candidates, within_nats=1.0) == chosen
