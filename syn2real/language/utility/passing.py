"""Pass@k (Chen et al., 2021, arXiv 2107.03374): the chance that one of k programs passes the tests."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import comb
from typing import Literal

from syn2real.errors import UserError
from syn2real.language.chat import ChatModel
from syn2real.language.utility.metric import Reply, Score
from syn2real.language.utility.programs import program_of
from syn2real.language.utility.questions import Question
from syn2real.language.utility.sandbox import Limits, Ran, Sandbox
from syn2real.progress import track


def pass_at_k(n: int, right: int, k: int) -> float:
    """The unbiased estimate from ``n`` programs of which ``right`` pass: 1 − C(n − right, k) / C(n, k).

    >>> pass_at_k(4, 1, 2)
    0.5
    """
    if not 1 <= k <= n or not 0 <= right <= n:
        raise ValueError(f"of {n} programs {right} cannot pass, or {k} not be drawn")
    return 1 - comb(n - right, k) / comb(n, k)


class PassAtK:
    """Programs run in a sandbox, if that is allowed."""

    name = "pass_at_k"
    unit: Literal["share"] = "share"

    def __init__(
        self,
        k: int | Sequence[int] = 1,
        samples: int | None = None,
        allow_code: bool = False,
        unconfined: bool = False,
        seconds: float = Limits.seconds,
        memory: int = Limits.memory,
    ) -> None:
        """``k``: one number, or several, of which the first counts. ``samples``: programs asked for, the largest k at
        least. ``allow_code`` says that programs may be run; ``unconfined``, that they may where the kernel cannot lock
        them down. ``seconds`` and ``memory`` (bytes) are for one program."""
        ks = (k,) if isinstance(k, int) else tuple(k)
        if not ks or min(ks) < 1:
            raise UserError(f"metric pass_at_k: k is 1 or more, not {k}")
        for name, value in {"seconds": seconds, "memory": memory}.items():
            if not value > 0:
                raise UserError(f"metric pass_at_k: {name} is a number above 0, not {value!r}")
        self.samples = max(ks) if samples is None else samples
        if self.samples < max(ks):
            raise UserError(f"metric pass_at_k: pass@{max(ks)} takes {max(ks)} samples or more, not {self.samples}")
        self.headline = f"pass@{ks[0]}"
        self._ks = ks
        self._allowed = allow_code
        self._sandbox = Sandbox(Limits(seconds=seconds, memory=memory), confined=not unconfined)

    def require(self, questions: Sequence[Question]) -> None:
        """See `Metric.require`: that programs may be run, and can be."""
        without = next((question.id for question in questions if not question.tests), None)
        if without is not None:
            raise UserError(f"question {without!r} has no tests, which pass_at_k runs; choose another metric")
        if not self._allowed:
            raise UserError(
                "pass_at_k runs programs that a model wrote: allow it with --allow-code (in a recipe, the option "
                "allow_code: true); they run locked down, without network"
            )
        self._sandbox.require()

    def scores(self, replies: Sequence[Reply], model: ChatModel | None = None) -> list[Score]:
        """See `Metric.scores`; the note says how each program ended. The same program is run once."""
        self.require([reply.question for reply in replies])
        jobs = [[(program_of(reply.question, text), reply.question.tests) for text in reply.texts] for reply in replies]
        distinct = list(dict.fromkeys(job for row in jobs for job in row))
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            ends = pool.map(lambda job: self._sandbox.run(*job), distinct)
            ended = track(ends, "running programs", len(distinct))
            ran: dict[tuple[str, str], Ran] = dict(zip(distinct, ended, strict=True))
        return [self._score([ran[job] for job in row]) for row in jobs]

    def _score(self, ran: Sequence[Ran]) -> Score:
        right = sum(one.passed for one in ran)
        endings = [f"{one.ending}: {one.said}" if one.said else one.ending for one in ran]
        values = {f"pass@{k}": pass_at_k(len(ran), right, k) for k in self._ks}
        return Score(values, note="; ".join(endings))
