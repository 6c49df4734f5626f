"""A chat model over HTTP: any server that answers OpenAI's ``POST /v1/chat/completions``."""

import json
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from functools import partial
from threading import Event, Lock
from typing import Any

from syn2real.cache import cache_directory
from syn2real.errors import UserError
from syn2real.hashing import sha256_json
from syn2real.language.chat.kept import KeptReplies
from syn2real.language.chat.model import Conversation, Sampling
from syn2real.posting import post_json, require_address, require_key

LARGEST = 16_000_000  # bytes of an answer


class ServerModel:
    """One model of an OpenAI-compatible server.

    ``url`` is the address up to and without ``/v1``; ``key`` the name of the environment variable that holds the key;
    ``per_minute`` how many requests at most are made in a minute, ``at_once`` how many at the same time, and ``budget``
    how many in all, beyond which none is made; one that is made again after a failure counts again. Replies are kept in
    the cache by request. Whether the server heeds the seed is its affair; what is kept is the same again.
    """

    licence = "see the server's terms"

    def __init__(
        self,
        name: str,
        url: str | None = None,
        key: str | None = None,
        timeout: float = 120.0,
        retries: int = 4,
        per_minute: float | None = None,
        at_once: int = 4,
        budget: int | None = None,
    ) -> None:
        if url is None:
            raise UserError(f"chat model 'server:{name}' needs an address: --url http://localhost:8000")
        self.name = name
        self._address = f"{require_address(url, 'chat model').rstrip('/').removesuffix('/v1')}/v1/chat/completions"
        self.identity = f"{name} at {self._address}"
        self._key = require_key(key, "chat model") if key is not None else None
        self._timeout, self._retries, self._at_once = timeout, retries, at_once
        self._pace = Pace(60 / per_minute if per_minute else 0.0)
        self._budget, self._spent = budget, 0
        self._lock = Lock()  # of what is spent and what is kept
        self._kept = KeptReplies(cache_directory() / "replies" / f"{sha256_json(self._address)[:16]}.jsonl")

    def replies(self, conversations: Sequence[Conversation], sampling: Sampling, seeds: Sequence[int]) -> list[str]:
        """See `ChatModel.replies`. Raises `UserError` for a refusal, and keeps what was answered."""
        asked = [self._request(turns, sampling, seed) for turns, seed in zip(conversations, seeds, strict=True)]
        new = [request for request in _distinct(asked) if self._kept.recall(request) is None]
        self._require_budget(len(new))
        stopped = Event()
        pool = ThreadPoolExecutor(self._at_once)
        try:
            waiting = [pool.submit(self._answer, request, stopped) for request in new]
            # One by one: a Ctrl-C that falls between two waits is heeded after the next answer, not after the last.
            for future in as_completed(waiting):
                if future.exception() is not None:
                    break
        finally:  # a refusal or Ctrl-C: what is on its way is waited for and kept, and nothing more is asked
            stopped.set()
            pool.shutdown(cancel_futures=True)
        problems = [future.exception() for future in waiting if not future.cancelled()]
        for problem in problems:
            if problem is not None and not isinstance(problem, CancelledError):
                raise problem
        return [str(self._kept.recall(request)) for request in asked]

    def fitted(self, conversation: Conversation, sampling: Sampling) -> Conversation:
        """See `ChatModel.fitted`: a server does not say."""
        return conversation

    def _request(self, turns: Conversation, sampling: Sampling, seed: int) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "seed": seed % 2**31,
        }
        return request | ({"top_p": sampling.top_p} if sampling.top_p < 1 else {})

    def _require_budget(self, count: int) -> None:
        """Raise `UserError` where so many further requests are more than the budget has left; none of them is made."""
        if self._budget is not None and self._spent + count > self._budget:
            raise UserError(
                f"chat model {self.name!r}: {count} more requests after {self._spent} exceed the budget of "
                f"{self._budget}; raise it and run the same command again, what was answered is kept"
            )

    def _answer(self, request: dict[str, Any], stopped: Event) -> None:
        """Ask, and keep what is answered."""
        reply = self._ask(request, stopped)
        with self._lock:
            self._kept.keep(request, reply)

    def _ask(self, request: dict[str, Any], stopped: Event) -> str:
        try:
            content = post_json(
                self._address,
                request,
                key=self._key,
                timeout=self._timeout,
                retries=self._retries,
                largest=LARGEST,
                attempting=partial(self._attempt, stopped),
            )
        except _BudgetSpent:
            raise
        except UserError as error:
            raise UserError(f"chat model: {error}; is it running, and are key and model right?") from error
        return _reply(content, self._address)

    def _attempt(self, stopped: Event) -> None:
        """Wait until a request may be made, and count it. Raises `CancelledError` when none is to be made any more."""
        self._pace.wait(stopped)
        with self._lock:
            if stopped.is_set():
                raise CancelledError
            if self._budget is not None and self._spent >= self._budget:
                raise _BudgetSpent(
                    f"chat model {self.name!r}: the budget of {self._budget} requests is spent, for some had to be "
                    "made again; raise it and run the same command again, what was answered is kept"
                )
            self._spent += 1


class _BudgetSpent(UserError):
    """No server's fault."""


class Pace:
    """Lets callers through one by one, ``interval`` seconds apart."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next = 0.0
        self._lock = Lock()

    def wait(self, stopped: Event) -> None:
        """Return when it is the caller's turn, or all is ``stopped``."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
        stopped.wait(turn - now)


def _reply(content: bytes, address: str) -> str:
    """The text of the first choice in a server's answer. Half a surrogate pair, which is no character and which no file
    holds, becomes U+FFFD."""
    try:
        text = json.loads(content)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        start = content[:60].decode(errors="replace")
        raise UserError(f"chat model: {address} sent no completion but {start!r}") from error
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") if isinstance(text, str) else ""


def _distinct(requests: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({sha256_json(request): request for request in requests}.values())
