"""syn2real: adapt a speech recogniser to a domain for which only text exists, by task-vector arithmetic."""

__version__ = "0.1.0"
