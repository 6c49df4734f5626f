"""Which chat model: a directory, a packaged or hub name, or a server."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from syn2real.language.chat.model import ChatModel
from syn2real.language.options import made
from syn2real.registry import Registry

CHAT_MODELS: Registry[Callable[..., ChatModel]] = Registry("chat model")
SERVER = "server:"


@CHAT_MODELS.register("local")
def _local(name: str, /, **options: Any) -> ChatModel:
    from syn2real.language.chat.local import LocalModel

    return made("chat model", name, partial(LocalModel.load, name), options)


@CHAT_MODELS.register("server")
def _server(name: str, /, **options: Any) -> ChatModel:
    from syn2real.language.chat.server import ServerModel

    return made("chat model", SERVER + name, partial(ServerModel, name), options)


def chat_model(name: str, /, **options: Any) -> ChatModel:
    """The model that ``name`` stands for.

    ``server:NAME`` is a model of an OpenAI-compatible server, whose address is the option ``url``; ``kind:NAME`` one of
    a kind that an installed package adds; anything else a directory of a causal language model, a packaged name
    (``smollm2-135m``) or a hub id. Raises `UserError` for what there is not and for options of another kind.
    """
    kind, colon, rest = name.partition(":")
    if not colon or Path(name).exists():
        kind, rest = "local", name
    return made("chat model", name, partial(CHAT_MODELS.get(kind), rest), options)


def is_server(name: str) -> bool:
    """Whether a chat model's name is that of a server's."""
    return name.startswith(SERVER) and not Path(name).exists()
