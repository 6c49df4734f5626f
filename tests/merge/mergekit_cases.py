"""A tiny Llama of exactly repeatable weights, and recipes in mergekit's dialect for it.

``mergekit_frozen.json`` holds what mergekit 0.1.5 makes of each: `probe` of every tensor, in order of their names.
"""

import json
import math
import random
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmarks.llama import Llama

MODEL = Llama(hidden=8, inner=12, layers=4, vocabulary=16, head=4, groups=1)
SPREAD = {"base": 0.0, "a": 0.02, "b": 0.02, "c": 0.02}  # how far each model is from the base


def write_models(folder: Path) -> None:
    for model, spread in SPREAD.items():
        shared, own, common = random.Random(1), random.Random(model), random.Random(2)
        weights = {}
        for name, shape in MODEL.shapes.items():
            count = math.prod(shape)
            start = [shared.uniform(-1, 1) * 0.1 for _ in range(count)]
            # Half of the difference is common to all models: differences at right angles are a case of its own.
            moved = [spread * (common.uniform(-1, 1) + own.uniform(-1, 1)) for _ in range(count)]
            weights[name] = torch.tensor([x + y for x, y in zip(start, moved, strict=True)]).view(shape)
        (folder / model).mkdir()
        save_file(weights, folder / model / "model.safetensors", metadata={"format": "pt"})
        (folder / model / "config.json").write_text(json.dumps(MODEL.config(max_position_embeddings=32)))


def probe(tensor: torch.Tensor) -> float:
    count = torch.arange(tensor.numel(), dtype=torch.float64)
    return float((tensor.double().reshape(-1) * torch.cos(count)).sum())


_PAIR = """
base_model: base
dtype: float32
models:
  - model: base
  - model: a
    parameters: {weight: 0.7, density: %s}
  - model: b
    parameters: {weight: [0.2, 0.5], density: %s}
"""

CASES = {
    "linear": """
merge_method: linear
dtype: float32
models:
  - model: a
    parameters: {weight: 1.0}
  - model: {model: {path: b}}
    parameters:
      weight:
        - filter: mlp
          value: [1, 0, 0.5]
        - filter: layers.1
          value: 3
        - value: 0.1
parameters: {int8_mask: true}
""",
    "unnormalised": "merge_method: linear\ndtype: float32\nparameters: {weight: 0.4, normalize: false}\n"
    "models: [{model: a}, {model: b}, {model: c}]\n",
    "task_arithmetic": "merge_method: task_arithmetic\nparameters: {lambda: 0.5, normalize: true}" + _PAIR % (1, 1),
    "slerp": """
slices:
  - sources:
      - {model: a, layer_range: [0, 4]}
      - {model: b, layer_range: [0, 4]}
merge_method: slerp
base_model: b
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 0.3, 0.7, 1]
    - filter: mlp
      value: [1, 0.5, 0.7, 0.3, 0]
    - value: 0.4
dtype: float32
""",
    "nuslerp": "merge_method: nuslerp\nparameters: {nuslerp_flatten: false}" + _PAIR % (1, 1),
    "nuslerp_columns": "merge_method: nuslerp\nparameters: {nuslerp_flatten: false, nuslerp_row_wise: true}"
    + _PAIR % (1, 1),
    "nuslerp_flat": "merge_method: nuslerp\nparameters: {nuslerp_row_wise: true}" + _PAIR % (1, 1),
    "nuslerp_each": """
merge_method: nuslerp
base_model: base
dtype: float32
parameters: {weight: '0.5', nuslerp_flatten: [{filter: mlp, value: 0}, {filter: q_proj, value: false}, {value: 1}]}
slices:
  - sources: [{model: base, layer_range: [0, 2]}, {model: a, layer_range: [0, 2]}, {model: b, layer_range: [0, 2]}]
    parameters: {nuslerp_row_wise: true}
  - sources: [{model: base, layer_range: [2, 4]}, {model: a, layer_range: [2, 4]}, {model: b, layer_range: [2, 4]}]
    parameters: {nuslerp_flatten: false}
""",
    "multislerp": "merge_method: multislerp" + _PAIR % (1, 1),
    "multislerp_sum": "merge_method: multislerp\nparameters: {normalize_weights: false}" + _PAIR % (1, 1),
    "karcher": "merge_method: karcher\nbase_model: c\ndtype: float32\nmodels: [{model: a}, {model: b}]\n",
    "ties": "merge_method: ties\nparameters: {lambda: 0.8, normalize: true, int8_mask: true}" + _PAIR % (0.5, 0.3),
    "ties_sum": "merge_method: ties\nparameters: {normalize: false}" + _PAIR % (0.5, 0.3),
    "dare_ties": "merge_method: dare_ties" + _PAIR % (1.0, 1.0),
    "dare_linear": "merge_method: dare_linear" + _PAIR % (1.0, 1.0),
    "della": "merge_method: della" + _PAIR % (1.0, 1.0),
    "della_linear": "merge_method: della_linear" + _PAIR % (1.0, 1.0),
    "breadcrumbs": "merge_method: breadcrumbs\nparameters: {gamma: 0.05}" + _PAIR % (0.6, 0.97),
    "breadcrumbs_ties": "merge_method: breadcrumbs_ties" + _PAIR % (0.6, 1.0),
    "model_stock": "merge_method: model_stock\nbase_model: base\ndtype: float32\n"
    "models: [{model: a}, {model: b}, {model: c}]\n",
    # Without layer 1, where a row's task vectors disagree: there mergekit goes beyond the base.
    "model_stock_rows": "slices:\n"
    + "".join(
        f"  - sources: [{', '.join(f'{{model: {model}, layer_range: {layers}}}' for model in SPREAD)}]\n"
        for layers in ([0, 1], [2, 4])
    )
    + "merge_method: model_stock\nbase_model: base\ndtype: float32\nparameters: {filter_wise: true}\n",
    "nearswap": "merge_method: nearswap\nbase_model: base\ndtype: float32\nparameters: {t: [0.01, 0.03]}\n"
    "models: [{model: base}, {model: a}]\n",
    "ram": "merge_method: ram\nparameters: {epsilon: 0.015}" + _PAIR % (1, 1),
    "ramplus_tl": "merge_method: ramplus_tl\nparameters: {epsilon: 0.015, r: 0.5, alpha: 0.9}" + _PAIR % (1, 1),
    "ramplus_tl_as_it_is": "merge_method: ramplus_tl" + _PAIR % (1, 1),
    # Filters know a layer that has moved by its number in the model whose value it is.
    "moved_layers": """
merge_method: ties
base_model: base
dtype: float32
parameters:
  density: [{filter: o_proj, value: 0.4}]
  lambda: [{filter: layers.1, value: 0.5}, {value: 1.5}]
slices:
  - sources:
      - {model: base, layer_range: [2, 4]}
      - {model: a, layer_range: [2, 4], parameters: {weight: [{filter: layers.3, value: 0.2}, {value: 1}]}}
      - {model: b, layer_range: [0, 2], parameters: {weight: [{filter: layers.1, value: 2}, {value: 0.6}]}}
  - sources:
      - {model: base, layer_range: [0, 2]}
      - {model: a, layer_range: [0, 2], parameters: {weight: 0.7, density: 0.5}}
""",
    "moved_layers_scaled": """
merge_method: passthrough
dtype: float32
slices:
  - sources: [{model: a, layer_range: [2, 4], parameters: {scale: [{filter: layers.2, value: 0.3}, {value: 1}]}}]
  - sources: [{model: b, layer_range: [0, 2], parameters: {scale: [{filter: layers.1, value: 0.5}, {value: 2}]}}]
""",
    "karcher_slices": """
merge_method: karcher
base_model: c
dtype: float32
slices: [{sources: [{model: a, layer_range: [0, 4]}, {model: b, layer_range: [0, 4]}]}]
""",
    "bases_of_slices": """
merge_method: task_arithmetic
base_model: base
dtype: float32
slices:
  - sources:
      - {model: base, layer_range: [0, 2]}
      - {model: a, layer_range: [0, 2], parameters: {weight: 0.6}}
  - sources:
      - {model: b, layer_range: [1, 3], parameters: {weight: 0.3}}
      - {model: c, layer_range: [1, 3]}
    base_model: c
    residual_weight: 0.5
""",
    "multislerp_alone": "merge_method: multislerp\nbase_model: base\ndtype: float32\n"
    "models: [{model: a, parameters: {weight: 0.4}}]\nparameters: {normalize_weights: false}\n",
    "sce_alone": "merge_method: sce\nbase_model: base\ndtype: float32\nmodels: [{model: a}]\n"
    "parameters: {select_topk: 0.4}\n",
    "sce": "merge_method: sce\nparameters: {select_topk: 0.4}" + _PAIR % (1, 1),
    "passthrough": """
slices:
  - sources:
      - {model: a, layer_range: [0, 3]}
  - sources:
      - model: b
        layer_range: [1, 4]
        parameters:
          scale:
            - filter: o_proj
              value: 0.0
            - filter: down_proj
              value: 0.5
            - value: 1.0
merge_method: passthrough
dtype: float32
""",
    "slices": """
slices:
  - sources:
      - {model: a, layer_range: [0, 2], parameters: {weight: [0, 1]}}
      - {model: b, layer_range: [1, 3], parameters: {weight: 1}}
    parameters: {normalize: false}
  - sources:
      - {model: a, layer_range: [3, 4]}
      - {model: b, layer_range: [3, 4], parameters: {weight: [0, 1]}}
    parameters: {weight: 0.25}
merge_method: linear
dtype: float32
parameters: {weight: 2.0}
""",
}
