"""The toy codec's machinery on a tiny untrained codec: what must hold whatever the weights are."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from labkit.audio import toy
from labkit.audio.codec import TokenError, WeightsError
from labkit.audio.flow import FlowConfig, FlowDecoder, time_grid
from labkit.audio.tokenizer import SpeechTokenizer, TokenizerConfig
from labkit.audio.toy import ToyCodec
from labkit.audio.vocoder import HarmonicVocoder, VocoderConfig

SIZE = 32


def tiny_codec() -> ToyCodec:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = ToyCodec(
            SpeechTokenizer(TokenizerConfig(phonemes=5, codebook_size=SIZE, width=32)),
            FlowDecoder(FlowConfig(codebook_size=SIZE, width=32)),
            HarmonicVocoder(VocoderConfig(mel_mean=-4.0, mel_scale=2.0, width=32)),
            mel_mean=-4.0,
            mel_scale=2.0,
            phonemes=["_", "a", "b", "c", "d"],
        )
        for network in (codec.tokenizer, codec.flow, codec.vocoder):
            for parameter in network.parameters():
                if parameter.ndim > 1:
                    torch.nn.init.normal_(parameter, std=0.1)
    return codec


CODEC = tiny_codec()
tokens = st.lists(st.integers(0, SIZE - 1), max_size=60)


@settings(max_examples=25, deadline=None)
@given(tokens=tokens, cuts=st.lists(st.integers(1, 50), max_size=12), steps=st.integers(1, 4))
def test_a_stream_equals_a_whole_decode_however_it_is_cut(tokens, cuts, steps):
    whole = CODEC.decode(tokens, steps)
    stream, pieces, start = CODEC.stream(steps), [], 0
    for cut in [*cuts, len(tokens)]:
        pieces.append(stream.push(tokens[start : start + cut]))
        start += cut
    pieces.append(stream.finish())
    streamed = torch.cat(pieces)
    assert len(whole) == len(streamed) == 1280 * len(tokens)
    # Rounding differs with the shapes of the matrix products, and the source's phase adds it up.
    assert torch.allclose(streamed, whole, atol=2e-3)


@settings(max_examples=15, deadline=None)
@given(tokens=st.lists(st.integers(0, SIZE - 1), min_size=1, max_size=40), cut=st.integers(1, 12))
def test_growing_steps_keep_the_length_and_revise_nothing(tokens, cut):
    stream = CODEC.stream()
    played = [stream.push(tokens[start : start + cut]).clone() for start in range(0, len(tokens), cut)]
    before = [piece.clone() for piece in played]
    rest = stream.finish()
    assert sum(map(len, played)) + len(rest) == 1280 * len(tokens)
    assert all(torch.equal(a, b) for a, b in zip(played, before, strict=True))


def test_encoding_in_blocks_changes_no_token(monkeypatch):
    speech = torch.randn(16_000 * 3, generator=torch.Generator().manual_seed(1)) * 0.1
    whole = CODEC.encode(speech, 16_000)
    monkeypatch.setattr(toy, "BLOCK_TOKENS", 7)
    assert torch.equal(CODEC.encode(speech, 16_000), whole)


def test_tokens_are_settled_by_the_audio_up_to_their_look_ahead():
    speech = torch.randn(16_000 * 2, generator=torch.Generator().manual_seed(2)) * 0.1
    whole = CODEC.encode(speech, 16_000)
    prefix = CODEC.encode(speech[: 12 * 1280], 16_000)
    # Whole tokens of look-ahead, and 24 ms of window that reach into one more.
    config = CODEC.tokenizer.config
    unsettled = config.look_ahead_frames // config.frames.frames_per_token + 1
    assert torch.equal(prefix[:-unsettled], whole[: 12 - unsettled])
    assert unsettled < 6


def test_the_codec_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    CODEC.decode([1, 2, 3], 2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_seed_decides_the_sound():
    a, b, c = (CODEC.decode([1, 2, 3, 4], 3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([0, SIZE], "token 32 at position 1"),
        ([-1], "token -1 at position 0"),
        ([[1, 2]], "one row"),
        ([0.5], "whole numbers"),
        (torch.tensor([True]), "whole numbers"),
    ],
)
def test_tokens_that_are_none_are_refused(bad, message):
    with pytest.raises(TokenError, match=message):
        CODEC.decode(bad)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_step_numbers_that_are_none_are_refused(steps):
    with pytest.raises(ValueError, match="at least 1"):
        CODEC.decode([1], steps)
    with pytest.raises(ValueError, match="at least 1"):
        CODEC.stream([1, steps])


def test_a_finished_stream_takes_nothing_more():
    stream = CODEC.stream()
    stream.finish()
    with pytest.raises(RuntimeError, match="open another"):
        stream.push([1])


def test_the_cosine_grid_runs_from_noise_to_speech():
    grid = time_grid(10)
    assert grid[0] == 0
    assert abs(float(grid[-1]) - 1) < 1e-12
    assert (grid.diff() > 0).all()


def test_saving_and_loading_gives_the_same_codec(tmp_path):
    CODEC.save(tmp_path, dtype=torch.float32)
    loaded = ToyCodec.load(tmp_path)
    assert torch.equal(loaded.decode([3, 1, 2], 2), CODEC.decode([3, 1, 2], 2))
    assert loaded.phonemes == CODEC.phonemes
    assert len(CODEC.read_phonemes([1, 2])) == 10


def test_files_that_do_not_fit_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"config\.json is missing"):
        ToyCodec.load(tmp_path)
    CODEC.save(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="not a toy codec"):
        ToyCodec.load(tmp_path)
    weights.write_bytes(whole)
    config = json.loads((tmp_path / "config.json").read_text())
    config["flow"]["surprise"] = 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="surprise"):
        ToyCodec.load(tmp_path)


def test_the_file_holds_half_precision(tmp_path):
    CODEC.save(tmp_path)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}


def test_silence_and_very_short_sounds_are_speech_too():
    assert len(CODEC.encode(np.zeros(16_000), 16_000)) == 13
    assert len(CODEC.encode([0.1], 16_000)) == 1
    assert len(CODEC.decode([], 2)) == 0
