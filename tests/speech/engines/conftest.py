"""Small models of the true classes with random weights, saved as the hub's are: what they say is noise, but it takes
the road that real speech takes."""

import json
from pathlib import Path

import numpy as np
import pytest

ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,'?!-"


@pytest.fixture(scope="session")
def speecht5_parts(tmp_path_factory) -> dict[str, str]:
    """Options for a small SpeechT5: model, vocoder, and x-vectors of five speakers."""
    spm = pytest.importorskip("sentencepiece", reason="run `pip install 'syn2real[speecht5]'`")
    import torch
    from transformers import (
        SpeechT5Config,
        SpeechT5ForTextToSpeech,
        SpeechT5HifiGan,
        SpeechT5HifiGanConfig,
        SpeechT5Tokenizer,
    )

    place = tmp_path_factory.mktemp("speecht5")
    spelling = place / "spm_char"
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(ALPHABET), "the quick brown fox jumps over the lazy dog"] * 20),
        model_prefix=str(spelling),
        model_type="char",
        vocab_size=80,
        hard_vocab_limit=False,
        pad_id=1,
        bos_id=0,
        eos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    tokenizer = SpeechT5Tokenizer(f"{spelling}.model")
    torch.manual_seed(1)
    config = SpeechT5Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        speech_decoder_prenet_units=16,
        speech_decoder_postnet_units=16,
        speaker_embedding_dim=8,
        max_text_positions=120,
        num_mel_bins=8,
    )
    model = SpeechT5ForTextToSpeech(config)
    with torch.no_grad():
        model.speech_decoder_postnet.prob_out.bias.fill_(-6.0)  # else it stops at once
    model.save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=8,
            upsample_initial_channel=16,
            upsample_rates=[8, 8],
            upsample_kernel_sizes=[16, 16],
            initializer_range=0.3,  # loud enough to be speech
        )
    )
    vocoder.save_pretrained(place / "vocoder")
    draw = np.random.default_rng(5)
    speakers = {
        f"cmu_us_{name}_{take}": draw.normal(size=8).astype(np.float32) for name in ("slt", "bdl") for take in "ab"
    }
    np.savez(place / "speakers.npz", **speakers)
    return {
        name: str(place / path)
        for name, path in {"model": "model", "vocoder": "vocoder", "xvectors": "speakers.npz"}.items()
    }


@pytest.fixture
def empty_folder(tmp_path: Path) -> Path:
    """A folder with nothing in it."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def bark_model(tmp_path_factory) -> Path:
    """A small Bark that speaks for a fifth of a second, with one preset."""
    import torch
    from transformers import BarkConfig, BarkModel, BertTokenizer, EncodecConfig

    place = tmp_path_factory.mktemp("bark")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *ALPHABET.replace(" ", ""), *(f"##{c}" for c in ALPHABET)]
    (place / "vocab.txt").write_text("\n".join(words) + "\n")
    BertTokenizer(str(place / "vocab.txt"), do_lower_case=False).save_pretrained(place)
    size = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "block_size": 512, "initializer_range": 1.0}
    semantic, offset, book = 40, 50, 16  # vocabularies: semantic tokens, text, codes
    torch.manual_seed(2)
    config = BarkConfig(
        semantic_config={**size, "input_vocab_size": offset + len(words) + 10, "output_vocab_size": semantic + 2},
        coarse_acoustics_config={**size, "input_vocab_size": 100, "output_vocab_size": semantic + 2 * book},
        fine_acoustics_config={
            **size, "input_vocab_size": book + 1, "output_vocab_size": book + 1, "n_codes_total": 4, "n_codes_given": 1
        },
        codec_config=EncodecConfig(
            num_filters=8, upsampling_ratios=[8, 5, 4, 2], codebook_size=book, hidden_size=16, codebook_dim=16,
            target_bandwidths=[1.5, 3.0], num_lstm_layers=1,
        ).to_dict() | {"model_type": "encodec"},
        initializer_range=1.0,
    )  # fmt: skip
    model = BarkModel(config)
    for layer in model.codec_model.quantizer.layers:
        layer.codebook.embed.normal_()  # all zeros before training
    end = offset + len(words)
    # As the hub has it: the settings of the three parts, nested.
    settings = {
        "semantic_config": {
            "eos_token_id": semantic, "semantic_vocab_size": semantic, "text_encoding_offset": offset,
            "text_pad_token": end, "semantic_infer_token": end + 1, "max_input_semantic_length": 64,
            "max_new_tokens": 12, "do_sample": True,
        },
        "coarse_acoustics_config": {
            "coarse_semantic_pad_token": semantic + 2 * book, "coarse_infer_token": semantic + 2 * book + 1,
            "max_coarse_input_length": 32, "max_coarse_history": 60, "sliding_window_len": 20, "do_sample": True,
        },
        "fine_acoustics_config": {
            "max_fine_history_length": 128, "max_fine_input_length": 256, "n_fine_codebooks": 4, "temperature": 0.5,
        },
        "codebook_size": book, "sample_rate": 24_000, "model_type": "bark",
    }  # fmt: skip
    model.save_pretrained(place)
    (place / "generation_config.json").write_text(json.dumps(settings))
    draw = np.random.default_rng(3)
    presets = place / "speaker_embeddings" / "v2"
    presets.mkdir(parents=True)
    for part, shape, top in (("semantic", 30, semantic), ("coarse", (2, 45), book), ("fine", (4, 45), book)):
        np.save(presets / f"en_speaker_3_{part}_prompt.npy", draw.integers(0, top, shape))
    return place


@pytest.fixture(scope="session")
def vits_model(tmp_path_factory) -> Path:
    """A small VITS of three speakers that reads letters."""
    import torch
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    place = tmp_path_factory.mktemp("vits")
    letters = ["<pad>", *"abcdefghijklmnopqrstuvwxyz '", "<unk>"]
    (place / "letters.json").write_text(json.dumps({letter: number for number, letter in enumerate(letters)}))
    tokenizer = VitsTokenizer(str(place / "letters.json"), phonemize=False, language="eng")
    tokenizer.save_pretrained(place)
    torch.manual_seed(4)
    model = VitsModel(
        VitsConfig(
            vocab_size=len(letters),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            ffn_dim=16,
            flow_size=16,
            spectrogram_bins=9,
            prior_encoder_num_flows=2,
            prior_encoder_num_wavenet_layers=1,
            posterior_encoder_num_wavenet_layers=1,
            duration_predictor_num_flows=2,
            duration_predictor_filter_channels=16,
            upsample_initial_channel=32,
            upsample_rates=[8, 8],
            upsample_kernel_sizes=[16, 16],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1, 3]],
            num_speakers=3,
            speaker_embedding_size=8,
            sampling_rate=16_000,
            initializer_range=0.3,
        )
    )
    model.save_pretrained(place)
    return place
