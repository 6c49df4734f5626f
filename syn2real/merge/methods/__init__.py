"""The merge methods that come with syn2real, one file each; importing this registers them."""

from syn2real.merge.methods import (
    arcee_fusion,
    breadcrumbs,
    dare,
    della,
    karcher,
    linear,
    mergealign,
    model_stock,
    multislerp,
    nuslerp,
    passthrough,
    prepost,
    sce,
    slerp,
    task_arithmetic,
    ties,
)

__all__ = [
    "arcee_fusion",
    "breadcrumbs",
    "dare",
    "della",
    "karcher",
    "linear",
    "mergealign",
    "model_stock",
    "multislerp",
    "nuslerp",
    "passthrough",
    "prepost",
    "sce",
    "slerp",
    "task_arithmetic",
    "ties",
]
