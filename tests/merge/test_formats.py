"""Formats that are not Hugging Face's: real files in, Hugging Face's names out."""

import struct

import pytest
import torch

from syn2real.errors import NotInstalled, UserError
from syn2real.merge import Checkpoint
from syn2real.merge.formats import gguf_file


def text(value):
    raw = value.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def variable(name, tensor, kind=0):
    shape = b"".join(struct.pack("<I", size) for size in tensor.shape)
    data = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return text(name) + struct.pack("<B", tensor.dim()) + shape + struct.pack("<BI", kind, len(data)) + data


def ct2(*variables, version=6, spec="WhisperSpec", aliases=()):
    head = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(variables))
    tail = struct.pack("<I", len(aliases)) + b"".join(text(part) for alias in aliases for part in alias)
    return head + b"".join(variables) + tail


def test_ctranslate2_whisper_has_exactly_the_model_s_names(whisper_tiny):
    transformers = pytest.importorskip("transformers", reason="compares with transformers' Whisper")
    checkpoint = Checkpoint.open(whisper_tiny.parent)
    assert checkpoint.directory is None and checkpoint.config == {}
    with torch.device("meta"):
        config = transformers.WhisperConfig(
            vocab_size=51864,
            d_model=384,
            encoder_layers=4,
            decoder_layers=4,
            encoder_attention_heads=6,
            decoder_attention_heads=6,
            encoder_ffn_dim=1536,
            decoder_ffn_dim=1536,
        )
        wanted = transformers.WhisperForConditionalGeneration(config).state_dict()
    assert set(wanted) - set(checkpoint) == {"proj_out.weight"}  # tied to the embeddings
    assert set(checkpoint) <= set(wanted)
    assert all(checkpoint[name].shape == tuple(wanted[name].shape) for name in checkpoint)
    assert {info.dtype for info in checkpoint.values()} == {torch.float16}
    for name in ("model.decoder.layers.1.encoder_attn.v_proj.weight", "model.encoder.layers.0.self_attn.v_proj.bias"):
        whole = checkpoint.read(name)
        assert torch.equal(checkpoint.read_range(name, 5, 300), whole.reshape(-1)[5:300])
        assert whole.isfinite().all() and whole.any()


def test_fused_rows_are_split_in_order(tmp_path):
    fused = torch.arange(24.0).view(12, 2)
    bias = torch.cat([torch.ones(4), torch.zeros(4), torch.full((4,), 2.0)])
    layer = "encoder/layer_0/self_attention/linear_0"
    projection = ("decoder/projection/weight", "decoder/embeddings/weight")
    parts = [
        variable("encoder/num_heads", torch.tensor(2, dtype=torch.int16), 2),
        variable(f"{layer}/weight", fused),
        variable(f"{layer}/bias", bias),
        variable("decoder/embeddings/weight", torch.ones(3, 2).half(), 4),
    ]
    (tmp_path / "model.bin").write_bytes(ct2(*parts, aliases=[projection]))
    checkpoint = Checkpoint.open(tmp_path / "model.bin")
    attention = "model.encoder.layers.0.self_attn"
    assert set(checkpoint) == {
        *(f"{attention}.{part}_proj.weight" for part in "qkv"),
        f"{attention}.q_proj.bias",
        f"{attention}.v_proj.bias",
        "model.decoder.embed_tokens.weight",
    }
    assert torch.equal(checkpoint.read(f"{attention}.k_proj.weight"), fused[4:8])
    assert torch.equal(checkpoint.read(f"{attention}.v_proj.bias"), bias[8:])
    whole = ct2(*parts, aliases=[projection])
    for size in range(1, len(whole)):
        (tmp_path / "model.bin").write_bytes(whole[:size])
        with pytest.raises(UserError):
            Checkpoint.open(tmp_path / "model.bin")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (ct2(version=5), "binary version 5"),
        (ct2(spec="TransformerSpec"), "TransformerSpec"),
        (ct2(), "no weights"),
        (ct2() + b"x", "1 bytes follow"),
        (ct2(variable("encoder/conv1/weight", torch.ones(2, dtype=torch.int8), 1)), "quantised to int8"),
        (ct2(variable("encoder/conv1/weight", torch.ones(2), 4)), "damaged"),
        (ct2(variable("encoder/conv1/weight", torch.ones(2), 9)), "damaged"),
        (ct2(variable("encoder/unheard/weight", torch.ones(2))), "no known part"),
        (ct2(variable("encoder/layer_0/self_attention/linear_0/bias", torch.ones(6))), "key bias"),
        (ct2(aliases=[("a", "b")]), "stands for b"),
    ],
)
def test_bad_ctranslate2(tmp_path, content, problem):
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(UserError, match=problem):
        Checkpoint.open(tmp_path / "model.bin")


def test_gguf_equals_transformers(smollm):
    pytest.importorskip("gguf", reason="reads GGUF")
    transformers = pytest.importorskip("transformers", reason="compares with transformers' own GGUF reader")
    checkpoint = Checkpoint.open(smollm)
    model = transformers.AutoModelForCausalLM.from_pretrained(smollm.parent, gguf_file=smollm.name, dtype=torch.float32)
    wanted = model.state_dict()
    assert set(wanted) - set(checkpoint) == {"lm_head.weight"}  # tied to the embeddings
    assert all(torch.equal(checkpoint.read(name), wanted[name]) for name in checkpoint)
    name = "model.layers.7.self_attn.k_proj.weight"
    for start, stop in ((0, 1), (575, 577), (1000, 50_001), (5, 5)):
        assert torch.equal(checkpoint.read_range(name, start, stop), wanted[name].reshape(-1)[start:stop])


def write_gguf(path, architecture="llama", name="token_embd.weight", rows=4):
    gguf = pytest.importorskip("gguf", reason="writes a GGUF file")
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_head_count(2)
    writer.add_tensor(name, torch.arange(rows * 2.0).view(rows, 2).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_gguf_rows_return_to_halves(tmp_path):
    checkpoint = Checkpoint.open(write_gguf(tmp_path / "q.gguf", name="blk.0.attn_q.weight", rows=8))
    values = checkpoint.read("model.layers.0.self_attn.q_proj.weight")
    assert (values[:, 0] / 2).tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_bad_gguf(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="architecture 'gpt2'"):
        Checkpoint.open(write_gguf(tmp_path / "a.gguf", "gpt2"))
    with pytest.raises(UserError, match="ffn_gate_inp"):
        Checkpoint.open(write_gguf(tmp_path / "b.gguf", name="blk.0.ffn_gate_inp.weight"))
    with pytest.raises(UserError, match="cannot share"):
        Checkpoint.open(write_gguf(tmp_path / "c.gguf", name="blk.0.attn_q.weight", rows=6))
    whole = write_gguf(tmp_path / "d.gguf").read_bytes()
    for size in (10, 60, len(whole) - 40):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(UserError, match="damaged"):
            Checkpoint.open(tmp_path / "cut.gguf")
    (tmp_path / "text.gguf").write_bytes(whole.replace(b"llama", b"ll\xffma", 1))
    with pytest.raises(UserError, match=r"general\.architecture is no str"):
        Checkpoint.open(tmp_path / "text.gguf")
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(NotInstalled, match=r"syn2real\[gguf\]"):
        gguf_file.GGUFFile(tmp_path / "d.gguf")
