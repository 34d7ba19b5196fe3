"""Which of several equally likely spellings: Whisper often parts a compound ("street car", "weit aus")."""

from collections.abc import Sequence

# A text and the logarithm of its probability.
Candidate = tuple[str, float]


def choose_spelling(candidates: Sequence[Candidate], within_nats: float) -> int:
    """
    Index of the candidate to keep, the likeliest being the first: the one with the fewest words among those that say
    the same letter by letter and are nearly as likely. A hyphen is a letter here: names joined by one stay so.
    """
    first_text, first_logprob = candidates[0]
    letters = _letters(first_text)
    same = [
        index
        for index, (text, logprob) in enumerate(candidates)
        if logprob >= first_logprob - within_nats and _letters(text) == letters
    ]
    return min(same, key=lambda index: len(candidates[index][0].split()))


def _letters(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum() or c == "-")
