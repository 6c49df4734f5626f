"""transformers' Trainer as recognisers need it: their batches, their loss, and what a killed training goes on from."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import EvalLoopOutput

from syn2real.saving import saving
from syn2real.speech.batch_order import BatchOrder
from syn2real.speech.batching import ITEMS
from syn2real.speech.layer_rates import rate_groups
from syn2real.speech.processes import process, processes
from syn2real.speech.recogniser import Recogniser

MOST_WORKERS = 4  # that read clips for one GPU


class SpeechTrainer(Trainer):
    """Trainer whose batches come length by length, and whose loss is the recogniser's.

    A step's loss is the mean over all that its batches hold, in however many processes: each batch is weighed by its
    `ITEMS`.
    """

    loss_is_scaled_for_ga = True  # in `compute_loss`

    def __init__(
        self, *args: Any, recogniser: Recogniser, order: BatchOrder, layer_decay: float = 1.0, **kwargs: Any
    ) -> None:
        self._recogniser = recogniser
        self._order = order
        self._layer_decay = layer_decay
        super().__init__(*args, **kwargs)

    def get_train_dataloader(self) -> DataLoader:
        """This process's share of each batch; accelerate, which would share out whole batches, only moves them."""
        from accelerate.data_loader import prepare_data_loader

        loader = DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=self._order,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return prepare_data_loader(loader, self.args.device, num_processes=1, process_index=0, put_on_device=True)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], torch.Tensor]:
        """The batches of a step, and over how many items its loss is a mean, in all processes."""
        batches = list(islice(epoch_iterator, num_batches))
        items = torch.stack([batch[ITEMS] for batch in batches]).sum().to(device)
        return batches, self.accelerator.reduce(items, "sum") if processes() > 1 else items

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The recogniser's loss of one batch; in training, its part of the step's."""
        items = inputs.pop(ITEMS)
        loss = self._recogniser.loss(model, inputs)
        # Layers may be dropped at random; now and then all that are trained are.
        if model.training and not loss.requires_grad:
            loss = loss + 0 * sum(weight.sum() for weight in model.parameters() if weight.requires_grad)
        if num_items_in_batch is None:
            return loss
        # Gradients, and the losses in the log, are means over processes.
        return loss * (items / num_items_in_batch * processes())

    def prediction_step(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> Any:
        """Loss of one dev batch, likewise."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            return self.compute_loss(model, inputs).detach(), None, None

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Dev loss. Several processes take turns with the batches that one would hear."""
        if processes() == 1:
            return super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        from accelerate.utils import gather_object

        network: Any = self.model
        network.eval()
        clips: Any = dataloader.dataset
        count, size = len(clips), self.args.eval_batch_size
        losses: list[tuple[float, int]] = []
        for start in range(process() * size, count, processes() * size):
            batch = [clips[index] for index in range(start, min(start + size, count))]
            loss, _, _ = self.prediction_step(network, self.data_collator(batch))
            losses.append((loss.item(), len(batch)))
        values, weights = np.array(gather_object(losses)).T
        finite = np.isfinite(values)
        if finite.any():
            values, weights = values[finite], weights[finite]
        mean = float(np.average(values, weights=weights))
        return EvalLoopOutput(None, None, {f"{metric_key_prefix}_loss": mean}, count)  # type: ignore[arg-type]

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """With rates by layer, where they are wished."""
        if self.optimizer is None and self._layer_decay != 1:
            trained: Any = self.model if model is None else model
            decayed = set(self.get_decay_parameter_names(trained))
            rate, decay = self.args.learning_rate, self.args.weight_decay
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            self.optimizer = kind(rate_groups(trained, rate, self._layer_decay, decay, decayed), **options)
        return super().create_optimizer(model)

    def _save_checkpoint(self, *arguments: Any) -> None:
        with saving(Path(str(self.args.output_dir))):
            super()._save_checkpoint(*arguments)


def tensorboard_logs(directory: Path, checkpoint: Path | None) -> TrainerCallback:
    """Logs for TensorBoard; what an interrupted run logged after its last checkpoint is passed over."""
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    resumed = {"purge_step": int(checkpoint.name.rsplit("-", 1)[1]) + 1} if checkpoint is not None else {}
    return TensorBoardCallback(SummaryWriter(str(directory), **resumed))


def default_workers() -> int:
    """Processes that read clips ahead of the training: none on a CPU, whose cores are busy with it; up to four for each
    GPU."""
    if not torch.cuda.is_available():
        return 0
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // sharing - 1))
