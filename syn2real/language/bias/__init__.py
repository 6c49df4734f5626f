"""Gender bias of chat models: sentences with a twin of the other gender, what is answered to both, and how far apart
the answers are."""

from syn2real.language.bias.pairs import Pairs, own_pairs, read_pairs
from syn2real.language.bias.swap import Twin, twin

__all__ = ["Pairs", "Twin", "own_pairs", "read_pairs", "twin"]
