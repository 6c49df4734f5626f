"""Fine-tuning, ours and stock: one system of `benchmarks.speech`, in a process of its own.

    python -m benchmarks.training_systems SYSTEM JOB

JOB is a JSON file: model, manifest, ids of the utterances, output, epochs, batch_size, learning_rate, seed, language.
Prints the seconds from the loaded libraries to the saved model: loading it, computing features, and training.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from syn2real.speech import audio
from syn2real.speech.corpus import Corpus


def clips(job: dict[str, Any]) -> Corpus:
    wanted = set(job["ids"])
    return Corpus.load(Path(job["manifest"])).filter(lambda u: u.id in wanted)


def ours(job: dict[str, Any]) -> float:
    from syn2real.cli.startup import load_recognisers
    from syn2real.speech.finetuning import finetune
    from syn2real.speech.training import TrainingSettings

    load_recognisers()
    names = ("epochs", "batch_size", "learning_rate", "seed")
    settings = TrainingSettings(**{name: job[name] for name in names})
    corpus, output = clips(job), Path(job["output"])
    output.mkdir()
    start = time.perf_counter()
    finetune(Path(job["model"]), corpus, output, settings, language=job["language"])
    return time.perf_counter() - start


def stock(job: dict[str, Any], precision: str = "fp32") -> float:
    """The usual recipe: every clip padded to 30 s by the feature extractor, labels padded to the batch's longest and
    masked, AdamW with a linear schedule, through `Seq2SeqTrainer`; in float32, as it comes, or another precision."""
    import torch
    from transformers import (
        Seq2SeqTrainer,
        Seq2SeqTrainingArguments,
        WhisperForConditionalGeneration,
        WhisperProcessor,
    )

    corpus = clips(job)
    start = time.perf_counter()
    language = {"language": job["language"], "task": "transcribe"} if job["language"] else {}
    processor = WhisperProcessor.from_pretrained(job["model"], **language)
    model = WhisperForConditionalGeneration.from_pretrained(job["model"], dtype=torch.float32)

    class Clips(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __init__(self) -> None:
            self.utterances = list(corpus)

        def __len__(self) -> int:
            return len(self.utterances)

        def __getitem__(self, place: int) -> dict[str, Any]:
            utterance = self.utterances[place]
            samples = audio.read(utterance.audio_filepath)
            mel = processor.feature_extractor(samples, sampling_rate=audio.SAMPLE_RATE).input_features[0]
            return {"input_features": mel, "labels": processor.tokenizer(utterance.text).input_ids}

    def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        features = torch.stack([torch.as_tensor(row["input_features"]) for row in rows])
        padded = processor.tokenizer.pad([{"input_ids": row["labels"]} for row in rows], return_tensors="pt")
        labels = padded.input_ids.masked_fill(padded.attention_mask == 0, -100)
        if bool((labels[:, 0] == model.config.decoder_start_token_id).all()):
            labels = labels[:, 1:]  # the model puts it there itself
        return {"input_features": features, "labels": labels}

    arguments = Seq2SeqTrainingArguments(
        output_dir=job["output"] + "-trainer",
        num_train_epochs=job["epochs"],
        per_device_train_batch_size=job["batch_size"],
        learning_rate=job["learning_rate"],
        warmup_steps=0.1,
        seed=job["seed"],
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
    )
    Seq2SeqTrainer(model=model, args=arguments, train_dataset=Clips(), data_collator=collate).train()
    model.save_pretrained(job["output"])
    processor.tokenizer.save_pretrained(job["output"])
    processor.feature_extractor.save_pretrained(job["output"])
    return time.perf_counter() - start


def stock_in_our_precision(job: dict[str, Any]) -> float:
    """The same in the precision that ours takes on this machine."""
    from syn2real.training_state import chosen_precision

    return stock(job, chosen_precision("auto"))


SYSTEMS = {"ours": ours, "stock": stock, "stock, our precision": stock_in_our_precision}

if __name__ == "__main__":
    seconds = SYSTEMS[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
    print(json.dumps({"seconds": seconds}))
