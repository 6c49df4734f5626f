"""Whose embedding single tokens take, where that of `syn2real.merge.vocabulary` is not the one wanted."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TokenSource(BaseModel):
    """A row of a model's embeddings: its own for the token, that of another token, or zeros. A path alone will do."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["model", "model_token", "zero"] = "model"
    model: str | None = None
    token: str | None = None
    token_id: int | None = Field(default=None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _path(cls, value: Any) -> Any:
        return {"model": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _complete(self) -> "TokenSource":
        named = (self.token is not None) + (self.token_id is not None)
        if (self.model is None) != (self.kind == "zero"):
            raise ValueError("source: name a model, or write kind: zero alone")
        if named != (self.kind == "model_token"):
            raise ValueError("source: 'token' or 'token_id', one of them, goes with kind: model_token")
        return self


class TokenRule(BaseModel):
    """Where models that lack a token take its row from; with ``force`` those that have it, too."""

    model_config = ConfigDict(extra="forbid")
    source: TokenSource
    force: bool = False

    def moved(self, paths: Mapping[str, str]) -> "TokenRule":
        """The same rule with its path replaced, where ``paths`` has it."""
        path = self.source.model
        source = self.source.model_copy(update={"model": path if path is None else paths.get(path, path)})
        return self.model_copy(update={"source": source})
