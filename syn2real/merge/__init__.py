"""The merge core: checkpoints, task vectors, and models made by adding them.

>>> vector = Checkpoint.open("source-real") - Checkpoint.open("source-synthetic")  # doctest: +SKIP
>>> write(Checkpoint.open("target-synthetic") + 0.3 * vector, "adapted")  # doctest: +SKIP
"""

from syn2real.merge import methods
from syn2real.merge.checkpoint import Checkpoint
from syn2real.merge.measures import cosine
from syn2real.merge.merged import Merged
from syn2real.merge.method import METHODS, Method, PerModel, method
from syn2real.merge.output import apply, write
from syn2real.merge.plan import Plan, plan_recipe
from syn2real.merge.recipe import MergeRecipe, load_recipe, parse_recipe
from syn2real.merge.stack import Block, Stack
from syn2real.merge.tensors import TensorInfo, TensorSource
from syn2real.merge.vector import TaskVector, Term

__all__ = [
    "METHODS",
    "Block",
    "Checkpoint",
    "MergeRecipe",
    "Merged",
    "Method",
    "PerModel",
    "Plan",
    "Stack",
    "TaskVector",
    "TensorInfo",
    "TensorSource",
    "Term",
    "apply",
    "cosine",
    "load_recipe",
    "method",
    "methods",
    "parse_recipe",
    "plan_recipe",
    "write",
]
