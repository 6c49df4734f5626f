"""What a judge with a short context is shown: the request whole, and of a long answer the beginning."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from syn2real.language.safety.answers import Answer
from syn2real.progress import say

LEAST = 240  # characters of an answer, of which no judge could say much if it saw fewer


def fitting(answers: Sequence[Answer], fits: Callable[[Answer], bool], judge: str) -> list[Answer | None]:
    """The answers, each cut at its end to what the judge's context holds, as ``fits`` tells. None for one of which not
    even `LEAST` characters would fit, for the request takes the room. How many are either is said."""
    found = [_cut(answer, fits) for answer in answers]
    lost = found.count(None)
    shorter = sum(cut is not answer for cut, answer in zip(found, answers, strict=True)) - lost
    if shorter:
        say(f"{judge}: {shorter} of {len(answers)} answers are longer than its context; it is shown their beginning")
    if lost:
        say(f"{judge}: {lost} of {len(answers)} answers are not judged: its context has no room beside the request")
    return found


def _cut(answer: Answer, fits: Callable[[Answer], bool]) -> Answer | None:
    """The longest beginning that fits."""
    if fits(answer):
        return answer
    low, high = LEAST, len(answer.response)
    if high <= low or not fits(_begun(answer, low)):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if fits(_begun(answer, middle)):
            low = middle
        else:
            high = middle
    return _begun(answer, low)


def _begun(answer: Answer, characters: int) -> Answer:
    return replace(answer, response=answer.response[:characters])
