"""JSON sent to a server over HTTP, again after a pause where that may help."""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from syn2real.errors import UserError

AGAIN = (408, 425, 429, 500, 502, 503, 504)  # HTTP statuses after which it is worth trying again
PAUSE = 0.5  # s before the second attempt; twice as long before each further one
LONGEST = 60.0  # s that a server may ask to be waited for


def require_address(url: str, who: str) -> str:
    """``url``, or `UserError` when it is no address of a server."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"{who}: {url!r} is no address; write it as http://localhost:8880")
    return url


def require_key(variable: str, who: str) -> str:
    """The key in an environment variable, or `UserError` naming the variable. The key itself is never printed."""
    key = os.environ.get(variable)
    if not key:
        raise UserError(f"{who}: the environment variable {variable} holds no key; set it")
    return key


def post_json(
    address: str,
    body: Mapping[str, Any],
    *,
    key: str | None,
    timeout: float,
    retries: int,
    largest: int,
    accept: str = "application/json",
    attempting: Callable[[], None] | None = None,
) -> bytes:
    """The body of a server's answer, at most ``largest`` bytes. ``timeout`` is in seconds for one attempt;
    ``attempting`` is called before each, to wait or to count, and what it raises ends them.

    Raises `UserError`, with what the server said and how often it was asked, but never with the key.
    """
    headers = {"Content-Type": "application/json", "Accept": accept}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers, method="POST")
    problem, wait = "", 0.0
    for attempt in range(retries + 1):
        if attempt:
            time.sleep(max(wait, min(PAUSE * 2 ** (attempt - 1), 10.0)))
        wait = 0.0
        if attempting is not None:
            attempting()
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                content: bytes = response.read(largest + 1)
                if response.length and len(content) <= largest:
                    raise HTTPException("the answer was cut off")
            if len(content) > largest:
                raise UserError(f"{address} sent more than {largest // 10**6} MB for one request")
            return content
        except urllib.error.HTTPError as error:
            problem = f"status {error.code}{_said(error, key)}"
            wait = _asked_to_wait(error)
            if error.code not in AGAIN:
                break
        except TimeoutError:
            problem = f"no answer in {timeout:g} s"
        except (OSError, HTTPException) as error:  # refused, reset, cut off in the middle
            reason = getattr(error, "reason", error)
            late = isinstance(reason, TimeoutError)
            problem = f"no answer in {timeout:g} s" if late else " ".join(str(reason).split())[:160]
    raise UserError(f"{address}: {problem} (tried {attempt + 1} times)")


def _asked_to_wait(error: urllib.error.HTTPError) -> float:
    """Seconds that the server asks to be left alone, if it does and in seconds."""
    asked = (error.headers.get("Retry-After") or "").strip()
    return min(float(asked), LONGEST) if asked.isdigit() else 0.0


def _said(error: urllib.error.HTTPError, key: str | None) -> str:
    """What a server says of its refusal, in brief. Some repeat the key."""
    try:
        text = " ".join(error.read(400).decode(errors="replace").split())
    except (OSError, HTTPException):
        return ""
    if key:
        text = text.replace(key, "***")
    return f" ({text[:160]})" if text else ""
