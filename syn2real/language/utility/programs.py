"""From what a model says to a program that can be run."""

import re
from collections.abc import Iterator, Sequence
from textwrap import dedent, indent

from syn2real.language.utility.questions import Question

# A fence with its own margin, as in a list, and what stands in it.
_BLOCK = re.compile(r"(?:^([ \t]*))?```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_BODY = "    "


def program_of(question: Question, said: str) -> str:
    """The program in an answer: the block of code in it that defines the function, or the first, or all of it.

    One that defines the function stands after what the prompt has before it, imports for instance; any other is taken
    to go on where the prompt ends, up to the first line that is no longer indented.
    """
    # Of what goes on with the prompt the margin counts, but not that of its fence.
    raw = [re.sub(f"^{margin}", "", block, flags=re.MULTILINE) for margin, block in _BLOCK.findall(said)]
    blocks = [dedent(block) for block in raw] or [said]
    if not question.entry_point:
        return blocks[0]
    head = re.compile(rf"^(?:async )?def {re.escape(question.entry_point)}\b", re.MULTILINE)
    whole = next((block for block in blocks if head.search(block)), None)
    if whole is not None:
        begun = head.search(question.prompt)
        before = question.prompt[: begun.start()] if begun else ""
        return f"{before}\n{whole}"
    return question.prompt.rstrip("\n") + "\n" + "\n".join(_continued((raw or [said])[0]))


def _lost_margin(begun: Sequence[str]) -> bool:
    """Whether a body that begins with these two lines stands further to the left than it should: all of it, and not its
    first line alone, which answers that are stripped have lost."""
    if not begun or begun[0][:1].isspace():
        return False
    if len(begun) == 1 or not begun[1][:1].isspace():
        return True
    depth = len(begun[1]) - len(begun[1].lstrip())
    return begun[0].rstrip().endswith(":") and depth < 2 * len(_BODY)


def _continued(text: str) -> Iterator[str]:
    lines = text.strip("\n").splitlines()
    if _lost_margin([line for line in lines if line.strip()][:2]):
        lines = indent("\n".join(lines), _BODY).splitlines()  # a body that lost its margin
    elif lines and not lines[0][:1].isspace():
        lines[0] = _BODY + lines[0]  # as its first line does where answers are stripped
    for line in lines:
        if line.strip() and not line[0].isspace():
            return
        yield line
