"""Running programs that nobody has read, with the tests they must pass, in a process that the kernel locks down."""

from syn2real.language.utility.sandbox.running import Limits, Ran, Sandbox

__all__ = ["Limits", "Ran", "Sandbox"]
