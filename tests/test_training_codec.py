"""The codec's objectives on a handful of real sentences: a few steps must already teach something."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from labkit.audio.features import FrameSettings, log_mel
from labkit.audio.flow import FlowConfig, FlowDecoder
from labkit.audio.quantizer import Codebook
from labkit.audio.tokenizer import SpeechTokenizer, TokenizerConfig
from labkit.audio.toy import ToyCodec
from labkit.audio.vocoder import HarmonicVocoder, VocoderConfig
from labkit.data.corpus import CorpusSpec, generate
from labkit.paths import weights_folder
from labkit.training.codec import (
    FlowObjective,
    Frames,
    TokenizerObjective,
    VocoderObjective,
    crop,
    multi_resolution_distance,
)
from labkit.training.fit import FitSettings, fit
from labkit.training.frames import frame_labels, phoneme_symbols, pitch_track
from labkit.training.train_codec import CodecRecipe, codec_training

FRAMES = FrameSettings()
LENGTH = FRAMES.samples_per_token


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Waveforms, normalised log-mels and phoneme labels of a few sentences."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        corpus = generate(CorpusSpec(sentences=8, validation=0, test=0, probes=0), progress=False)
        waveforms = [torch.from_numpy(each.waveform) for each in corpus]
        waveforms = [torch.nn.functional.pad(each, (0, -len(each) % LENGTH)) for each in waveforms]
        mel = [(log_mel(each[None], FRAMES)[0] + 4.3) / 2 for each in waveforms]
        labels = [frame_labels(u, len(m), 0.016) for u, m in zip(corpus, mel, strict=True)]
    return waveforms, mel, labels


def learn(network, objective, steps):
    history = fit(network, objective, FitSettings(steps=steps, learning_rate=3e-3, warmup=2))
    return history[0], history[-1]


def test_the_tokenizer_learns_with_and_without_its_codebook(speech):
    _, mel, labels = speech
    tokenizer = SpeechTokenizer(TokenizerConfig(phonemes=len(phoneme_symbols()), codebook_size=16, width=32))
    objective = TokenizerObjective(tokenizer, Frames(mel, labels), batch=4, length=80, continuous_steps=10)
    first, last = learn(tokenizer, objective, 25)
    assert last["phoneme"] < first["phoneme"]
    assert last["commitment"] > 0
    assert torch.allclose(tokenizer.codebook.vectors.norm(dim=-1), torch.tensor(1.0))


def test_the_flow_learns_to_leave_the_noise(speech):
    _, mel, _ = speech
    tokens = [torch.arange(len(each) // 5) % 16 for each in mel]
    decoder = FlowDecoder(FlowConfig(codebook_size=16, width=32))
    first, last = learn(decoder, FlowObjective(decoder, mel, tokens, batch=4, length_tokens=12), 25)
    assert last["flow"] < 0.8 * first["flow"]


def test_the_vocoder_learns_spectra_and_pitch(speech):
    waveforms, mel, _ = speech
    pitch = [pitch_track(each.numpy(), FRAMES) for each in waveforms]
    vocoder = HarmonicVocoder(VocoderConfig(mel_mean=-4.3, mel_scale=2.0, width=32))
    first, last = learn(vocoder, VocoderObjective(vocoder, waveforms, mel, pitch, batch=4, length=32), 15)
    assert last["spectrum"] < first["spectrum"]


def test_labels_and_pitch_say_what_sounds(speech):
    waveforms, mel, labels = speech
    for waveform, frames, label in zip(waveforms, mel, labels, strict=True):
        pitch = pitch_track(waveform.numpy(), FRAMES)
        assert len(pitch) == len(frames) == len(label)
        silent = label == 0
        assert frames[silent].mean() < frames[~silent].mean() - 0.5
        assert (pitch[silent] > 0).float().mean() < (pitch[~silent] > 0).float().mean()
        assert 100 < pitch[pitch > 0].median() < 300


def test_crops_keep_parallel_lists_together():
    first = [torch.arange(10), torch.arange(100, 140)]
    second = [each * 2 for each in first]
    a, b = crop([first, second], 20, 6, torch.Generator().manual_seed(0), unit=5)
    assert torch.equal(a * 2, b)
    assert ((a[:, 0] - 100) % 5 == 0).all()
    with pytest.raises(ValueError, match="no utterance has 200 frames"):
        crop([first], 200, 1, torch.Generator())


def test_the_codebook_restarts_entries_that_nothing_uses():
    codebook, dice = Codebook(8, 4), torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(64, 4, generator=dice), dim=-1)
    codebook.initialize(x, dice)
    used = torch.bincount(codebook.encode(x), minlength=8)
    assert (used > 0).sum() >= 6
    one = x[:1].expand(64, 4)
    restarted = sum(codebook.update(one, codebook.encode(one), dice) for _ in range(200))
    assert restarted > 0
    with pytest.raises(ValueError, match="cannot start a codebook of 8"):
        codebook.initialize(x[:4], dice)


def test_the_distance_of_spectra_is_zero_for_equals_and_grows():
    x = torch.randn(1, 4096, generator=torch.Generator().manual_seed(0))
    assert multi_resolution_distance(x, x) == 0
    assert multi_resolution_distance(0.5 * x, x) < multi_resolution_distance(0.1 * x, x)


def test_the_decoder_goes_on_with_words_said_alone(tmp_path, monkeypatch):
    """From where it was, on both prosodies, and the rest of the codec stays as it is."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    spec = CorpusSpec(sentences=16, validation=0, test=0, probes=0, languages=("cmn",))
    steps = {"tokenizer_steps": 4, "flow_steps": 3, "vocoder_steps": 2}
    recipe = CodecRecipe(utterances=8, codebook_size=16, even_utterances=10, even_steps=3, **steps)
    training = codec_training(recipe, spec)
    corpora = {training.corpus.folder, training.even.folder}
    assert len(corpora) == 2
    without = codec_training(replace(recipe, even_steps=0), spec)
    assert without.folder != training.folder
    codec, before = training.codec(), without.codec()
    assert (training.folder / "flow-even" / "checkpoint.pt").exists()
    for part in ("tokenizer", "vocoder"):
        for one, other in zip(
            getattr(codec, part).parameters(), getattr(before, part).parameters(), strict=True
        ):
            torch.testing.assert_close(one, other)
    moved = [
        (one - other).abs().max().item()
        for one, other in zip(codec.flow.parameters(), before.flow.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 0.1


def test_the_shipped_recipe_is_the_shipped_codecs():
    """So that the command without options makes what ships again."""
    written = json.loads((weights_folder() / "toy-codec" / "recipe.json").read_text(encoding="utf-8"))
    assert asdict(CodecRecipe()) == written
    assert ToyCodec.load().tokenizer.config.codebook_size == CodecRecipe.codebook_size
