"""Word error of a text against its reference: lower case, no punctuation, every file counted by its words."""

import argparse
import json
import sys
import unicodedata
from dataclasses import asdict, dataclass
from pathlib import Path

import jiwer


@dataclass(frozen=True)
class Score:
    errors: int
    words: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def percent(self) -> float:
        return round(100 * self.errors / max(1, self.words), 2)


def normalise(text: str) -> str:
    """Letters and digits only; an apostrophe joins ("don't"), any other sign parts."""
    letters = (
        " " if unicodedata.category(c)[0] in "PSZC" else c for c in text.lower() if c not in "'’‘"
    )
    return " ".join("".join(letters).split())


def score(reference: str, text: str) -> Score:
    wanted, got = normalise(reference), normalise(text)
    if not got:
        words = len(wanted.split())
        return Score(words, words, 0, words, 0)
    found = jiwer.process_words(wanted, got)
    errors = found.substitutions + found.deletions + found.insertions
    words = found.hits + found.substitutions + found.deletions
    return Score(errors, words, found.substitutions, found.deletions, found.insertions)


def total(scores: list[Score]) -> Score:
    return Score(*(sum(column) for column in zip(*(asdict(s).values() for s in scores), strict=True)))


def missing_sentences(sentences: list[str], text: str) -> list[str]:
    """Sentences of which less than half of the words are in the text, at their place."""
    wanted = [word for sentence in sentences for word in normalise(sentence).split()]
    heard = [False] * len(wanted)
    for part in jiwer.process_words(" ".join(wanted), normalise(text) or "-").alignments[0]:
        if part.type == "equal":
            heard[part.ref_start_idx : part.ref_end_idx] = [True] * (part.ref_end_idx - part.ref_start_idx)
    missing, at = [], 0
    for sentence in sentences:
        length = len(normalise(sentence).split())
        if 2 * sum(heard[at : at + length]) < length:
            missing.append(sentence)
        at += length
    return missing


def main() -> int:
    parser = argparse.ArgumentParser(description="Prints the word error of TEXT against REFERENCE as JSON.")
    parser.add_argument("reference", type=Path)
    parser.add_argument("text", type=Path, help="a text file, or a transcription.json")
    options = parser.parse_args()
    text = options.text.read_text()
    if options.text.suffix == ".json":
        text = json.loads(text)["transcription"]
    result = score(options.reference.read_text(), text)
    print(json.dumps({**asdict(result), "percent": result.percent}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
