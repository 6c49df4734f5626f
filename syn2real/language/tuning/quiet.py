"""Keeping libraries from talking while ours is the bar."""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

# Read where TRL draws a bar of its own, and where it says that a part of it is unstable.
SILENCED = {"TQDM_DISABLE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without the bars of datasets, transformers and TRL, and without their warnings of what is meant here."""
    import datasets
    import transformers.utils.logging as transformers_logging
    import trl  # noqa: F401 - which sets levels of its own when it is imported

    with ExitStack() as stack:
        _switch_off(
            stack,
            not datasets.are_progress_bars_disabled(),
            datasets.disable_progress_bars,
            datasets.enable_progress_bars,
        )
        _switch_off(
            stack,
            transformers_logging.is_progress_bar_enabled(),
            transformers_logging.disable_progress_bar,
            transformers_logging.enable_progress_bar,
        )
        for name in ("trl", "transformers", "peft"):
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        for name, value in SILENCED.items():
            stack.callback(_restore, name, os.environ.get(name))
            os.environ[name] = value
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _switch_off(stack: ExitStack, on: bool, disable: Callable[[], None], enable: Callable[[], None]) -> None:
    if on:
        disable()
        stack.callback(enable)


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
