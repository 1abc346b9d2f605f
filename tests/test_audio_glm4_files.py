"""Files of the tokenizer and the decoder: both layouts, every key; and files that are hostile, broken or another's."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from releases import codec, noise, release, tokens
from safetensors.torch import load_file, save_file

from labkit.audio.glm4_voice.codec import GLM4VoiceDecoder, GLM4VoiceTokenizer, empty_decoder
from labkit.audio.glm4_voice.decoder_config import read_decoder_config
from labkit.audio.glm4_voice.flow import FlowConfig
from labkit.audio.glm4_voice.hift import HiFTConfig
from labkit.audio.glm4_voice.tokenizer import STATISTICS, TokenizerConfig, WhisperVQ, tokenizer_keys
from labkit.checkpoints import CheckpointError, read_tensors

GOLDEN_AUDIO = Path(__file__).parent / "golden_audio"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A copy of the tokenizer's files, to be changed."""
    return Path(shutil.copytree(release().tokenizer, tmp_path / "tokenizer"))


@pytest.fixture
def decoder(tmp_path: Path) -> Path:
    """A copy of the decoder's files, to be changed."""
    return Path(shutil.copytree(release().decoder, tmp_path / "decoder"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


# Layouts


def test_the_released_shapes_account_for_every_key() -> None:
    """On the meta device: the tokenizer's keys as written out, the decoder's as in the recordings, deeper."""
    with torch.device("meta"):
        model = WhisperVQ(TokenizerConfig())
    assert {*model.state_dict(), *STATISTICS} == set(tokenizer_keys(TokenizerConfig()))
    assert len(tokenizer_keys(TokenizerConfig())) == 4 + 3 + 2 + 16 * 15
    assert tuple(model.codebook.weight.shape) == (16384, 1280)
    assert tuple(model.layers[15].fc1.weight.shape) == (5120, 1280)
    flow, hift = empty_decoder(FlowConfig(), HiFTConfig())
    for network, recorded in ((flow, "flow/flow"), (hift, "hift/hift")):
        held = load_file(GOLDEN_AUDIO / f"{recorded}.safetensors")
        assert {kind(key) for key in held} == {kind(key) for key in network.state_dict()}
    assert len(hift.state_dict()) == len(load_file(GOLDEN_AUDIO / "hift" / "hift.safetensors"))
    depths = {
        "encoder.encoders": 6,
        "decoder.estimator.mid_blocks": 12,
        "decoder.estimator.mid_blocks.11.1": 4,
    }
    for place, depth in depths.items():
        assert len(flow.get_submodule(place)) == depth
    shapes = {
        "decoder.estimator.down_blocks.0.0.block1.block.0.weight": (256, 320, 3),
        "decoder.estimator.mid_blocks.11.1.3.attn1.to_q.weight": (512, 256),
        "decoder.estimator.up_blocks.0.2.conv.weight": (256, 256, 4),
        "encoder.encoders.5.self_attn.pos_bias_u": (8, 64),
        "input_embedding.weight": (16384, 512),
    }
    assert {name: tuple(flow.state_dict()[name].shape) for name in shapes} == shapes
    assert tuple(hift.state_dict()["ups.0.weight_v"].shape) == (512, 256, 16)


def kind(key: str) -> str:
    """A key without the numbers of its layers."""
    return ".".join("#" if part.isdigit() else part for part in key.split("."))


def test_what_the_golden_files_hold_is_all_accounted_for() -> None:
    config = TokenizerConfig.from_released(
        json.loads((GOLDEN_AUDIO / "whisper_vq" / "config.json").read_text())
    )
    assert set(load_file(GOLDEN_AUDIO / "whisper_vq" / "model.safetensors")) == set(tokenizer_keys(config))


def test_a_whole_whisper_around_the_encoder_loads_as_well(tokenizer: Path) -> None:
    path = tokenizer / "model.safetensors"
    state = {
        f"model.encoder.{key}": tensor for key, tensor in load_file(path).items() if key not in STATISTICS
    }
    state |= {
        "model.encoder.layer_norm.weight": torch.ones(32),
        "model.decoder.embed_tokens.weight": torch.ones(3, 32),
    }
    save_file(state, path)
    again = GLM4VoiceTokenizer.load(tokenizer, tell=None)
    assert torch.equal(again.encode(noise(1), 16000), codec().encode(noise(1), 16000))


def test_layers_behind_the_kept_ones_are_left_alone_in_that_layout(tokenizer: Path) -> None:
    path = tokenizer / "model.safetensors"
    state = {f"model.encoder.{key}": tensor for key, tensor in load_file(path).items()}
    state["model.encoder.layers.2.fc1.weight"] = torch.ones(64, 32)
    save_file(state, path)
    GLM4VoiceTokenizer.load(tokenizer, tell=None)


def test_the_decoder_may_come_as_safetensors(decoder: Path) -> None:
    for name in ("flow", "hift"):
        save_file(dict(read_tensors([decoder / f"{name}.pt"])), decoder / f"{name}.safetensors")
        (decoder / f"{name}.pt").unlink()
    again = GLM4VoiceDecoder.load(decoder, tell=None)
    assert torch.equal(again.decode(tokens(9), 1, 0), codec().decode(tokens(9), 1))


def test_old_pickles_without_a_zip_around_them_load(decoder: Path) -> None:
    state = dict(read_tensors([decoder / "hift.pt"]))
    torch.save(state, decoder / "hift.pt", _use_new_zipfile_serialization=False)
    GLM4VoiceDecoder.load(decoder, tell=None)


def test_the_golden_yaml_and_the_released_one_read_the_same_way() -> None:
    flow, hift = read_decoder_config(GOLDEN_AUDIO / "decoder_config.yaml")
    assert (flow.codes, flow.guidance, flow.speaker, flow.encoder.block) == (64, 0.7, 192, 10)
    assert flow.estimator.channels == (24, 24)
    assert (hift.channels, hift.sample_rate, hift.resblock_dilations) == (32, 22050, ((1, 3, 5),) * 3)


def test_the_parts_of_the_file_that_nobody_needs_are_passed_over(decoder: Path) -> None:
    """The released file also describes a language model, and seeds every generator there is."""
    path = decoder / "config.yaml"
    before = read_decoder_config(path)
    path.write_text(
        "__set_seed1: !apply:numpy.random.seed [1986]\n"
        "__set_seed3: !apply:torch.cuda.manual_seed_all [1986]\n"
        "llm_input_size: 1024\n"
        "llm: !new:cosyvoice.llm.llm.TransformerLM\n"
        "    llm_input_size: !ref <llm_input_size>\n"
        "    llm: !new:cosyvoice.transformer.encoder.TransformerEncoder\n"
        "        input_size: !ref <llm_input_size>\n" + path.read_text()
    )
    assert read_decoder_config(path) == before


# Telling


def test_the_user_is_told_what_it_takes_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    GLM4VoiceDecoder.load(release().decoder, tell=told.append)
    assert told[0].startswith("GLM-4-Voice decoder: 0.2")
    monkeypatch.setattr("labkit.audio.glm4_voice.codec.free_memory", lambda device: 1000)
    with pytest.raises(MemoryError, match="only 1000 B are free"):
        GLM4VoiceTokenizer.load(release().tokenizer, tell=None)


def test_neither_here_nor_on_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for load in (GLM4VoiceTokenizer.load, GLM4VoiceDecoder.load):
        with pytest.raises(FileNotFoundError, match="neither a folder nor a hub id"):
            load(tmp_path / "nowhere", tell=None)
        with pytest.raises(FileNotFoundError, match=r"no config\.(json|yaml) in"):
            load(tmp_path, tell=None)


# Hostile and broken files


class Bomb:
    """Runs on unpickling, if anybody lets it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(decoder: Path, tmp_path: Path) -> None:
    for zipped in (True, False):
        torch.save(
            {"bias": Bomb(tmp_path / "run")}, decoder / "flow.pt", _use_new_zipfile_serialization=zipped
        )
        with pytest.raises(CheckpointError, match="may be code"):
            GLM4VoiceDecoder.load(decoder, tell=None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "sample_rate: 22050",
            "sample_rate: !!python/object/apply:os.mkdir [{run}]",
            "nothing of it was run",
        ),
        ("sample_rate: 22050", "sample_rate: !apply:os.mkdir [{run}]", "names os.mkdir"),
        ("sample_rate: 22050", "sample_rate: !new:pathlib.Path [{run}]", "names pathlib.Path"),
        ("sample_rate: 22050", "x: !name:os.system\nsample_rate: 22050", "nothing was imported or called"),
        ("sample_rate: 22050", "sample_rate: !include {run}", "could not determine a constructor"),
        (
            "!new:cosyvoice.flow.flow.MaskedDiffWithXvec",
            "!new:cosyvoice.llm.llm.TransformerLM",
            "expected cosyvoice",
        ),
        ("block_size: 10", "block_size: ten", "expected a whole number"),
        ("block_size: 10", "block_sizes: 10", "lacks flow.encoder.block_size"),
        ("solver: 'euler'", "solver: 'midpoint'", "every released decoder has 'euler'"),
        ("input_frame_rate: 12.5", "input_frame_rate: 25", "input_frame_rate is 25"),
        ("<spk_embed_dim>", "<nothing>", "refers to <nothing>"),
        ("channels: [16, 16]", "channels: [16, 16, 16]", "on 3 levels"),
        ("sample_rate: 22050", "sample_rate: [", "was refused"),
        ("sample_rate: 22050", "sample_rate: 24000", "hift.sampling_rate is 24000"),
    ],
)
def test_a_yaml_that_is_more_than_values_is_refused_and_not_run(
    old: str, new: str, message: str, decoder: Path, tmp_path: Path
) -> None:
    edit(decoder / "config.yaml", old, new.format(run=tmp_path / "run"))
    with pytest.raises(CheckpointError, match=message):
        GLM4VoiceDecoder.load(decoder, tell=None)
    assert not (tmp_path / "run").exists()


def test_nested_and_enormous_yaml_is_refused(decoder: Path) -> None:
    path = decoder / "config.yaml"
    path.write_text("a: " + "[" * 2000 + "]" * 2000)
    with pytest.raises(CheckpointError, match="refused"):
        GLM4VoiceDecoder.load(decoder, tell=None)
    path.write_text("a" * (2**20 + 1))
    with pytest.raises(CheckpointError, match="bytes"):
        GLM4VoiceDecoder.load(decoder, tell=None)
    path.write_text("- 1")
    with pytest.raises(CheckpointError, match="no mapping"):
        GLM4VoiceDecoder.load(decoder, tell=None)


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("name", "break_it", "message"),
    [
        ("preprocessor_config.json", lambda p: edit(p, '"n_fft": 400', '"n_fft": "x"'), "no log-mels"),
        ("model.safetensors", cut, "no whole safetensors file"),
        ("model.safetensors", lambda p: p.write_bytes(b""), "no whole safetensors file"),
        ("config.json", lambda p: p.write_text("{"), "is not JSON"),
        ("config.json", lambda p: p.write_text("[]"), "holds no JSON object"),
        ("config.json", lambda p: edit(p, '"avg"', '"max"'), "pooling_type 'max'"),
        ("config.json", lambda p: edit(p, '"quantize_vocab_size"', '"codes"'), "quantize_vocab_size is None"),
        (
            "config.json",
            lambda p: edit(p, '"num_mel_bins": 128', '"num_mel_bins": 80'),
            "the encoder takes 80",
        ),
        (
            "config.json",
            lambda p: edit(p, '"quantize_vocab_size": 64', '"quantize_vocab_size": 65'),
            "misshapen codebook",
        ),
        (
            "config.json",
            lambda p: edit(p, '"quantize_position": 2', '"quantize_position": 3'),
            "before its last layer",
        ),
    ],
)
def test_a_broken_tokenizer_is_explained(
    name: str, break_it: Callable, message: str, tokenizer: Path
) -> None:
    break_it(tokenizer / name)
    with pytest.raises(CheckpointError, match=message):
        GLM4VoiceTokenizer.load(tokenizer, tell=None)


def test_every_key_at_fault_is_named(decoder: Path) -> None:
    state = dict(read_tensors([decoder / "hift.pt"]))
    del state["conv_post.weight_g"]
    state["ups.1.bias"], state["extra"] = torch.zeros(3), torch.zeros(1)
    torch.save(state, decoder / "hift.pt")
    with pytest.raises(CheckpointError) as caught:
        GLM4VoiceDecoder.load(decoder, tell=None)
    for line in (
        "3 keys do not fit",
        "missing conv_post.weight_g",
        "unexpected extra",
        "misshapen ups.1.bias: (3,)",
    ):
        assert line in str(caught.value)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (cut, "no whole file of weights"),
        (lambda p: torch.save([torch.ones(1)], p), "not a flat state dict"),
        (lambda p: torch.save({"state_dict": {"a": torch.ones(1)}}, p), "not a flat state dict"),
        (lambda p: p.write_bytes(b"text"), "may be code|no whole file"),
    ],
)
def test_a_broken_pickle_is_explained(write: Callable, message: str, decoder: Path) -> None:
    write(decoder / "flow.pt")
    with pytest.raises(CheckpointError, match=message):
        GLM4VoiceDecoder.load(decoder, tell=None)
    (decoder / "flow.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no flow\.pt"):
        GLM4VoiceDecoder.load(decoder, tell=None)
