"""Audio is tokenised once: by content and codec, whatever happens to the files or the processes in between."""

import numpy as np
import pytest
import soundfile
import torch

from labkit.audio.codec import Codec
from labkit.audio.io import AudioInputError
from labkit.audio.toy import ToyCodec
from labkit.data.audio_tokens import AudioTokens, codec_fingerprint

torch.set_num_threads(1)


class CountingCodec(Codec):
    """A token for every 80 ms, which says how many times it was asked."""

    sample_rate, token_rate, size = 16_000, 12.5, 100

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, waveform: torch.Tensor, sample_rate: int) -> torch.Tensor:
        if waveform.abs().max() == 0:
            raise AudioInputError("nothing but silence")
        self.encoded += 1
        return (waveform[::1280].abs() * 99).long()

    def decode(self, tokens, steps=10, *, seed=0):
        raise NotImplementedError

    def stream(self, steps=1, *, seed=0):
        raise NotImplementedError


@pytest.fixture
def files(tmp_path):
    paths = []
    for number in range(4):
        samples = np.random.default_rng(number).uniform(-0.9, 0.9, 3000 * (number + 1))
        paths.append(tmp_path / f"{number}.flac")
        soundfile.write(paths[-1], samples, 16_000)
    return paths


def opened(tmp_path, name="v1"):
    return AudioTokens(CountingCodec(), name=name, folder=tmp_path / "cache")


def test_tokens_are_the_codecs_own_and_made_once(tmp_path, files):
    first = opened(tmp_path)
    first.prepare([*files, *files], progress=False)
    assert first.codec.encoded == len(first) == len(files)
    again = opened(tmp_path)
    again.prepare(files, progress=False)
    for path in files:
        expected = again.codec.encode(torch.from_numpy(soundfile.read(path, dtype="float32")[0]), 16_000)
        assert again[path].tolist() == first[path].tolist() == expected.tolist()
    assert again.codec.encoded == len(files)  # those of this test


def test_a_moved_file_keeps_its_tokens_a_changed_one_does_not(tmp_path, files):
    tokens = opened(tmp_path)
    before = [tokens[path].tolist() for path in files]
    moved = files[0].rename(tmp_path / "moved.flac")
    assert tokens[moved].tolist() == before[0]
    assert tokens.codec.encoded == 4
    files[1].write_bytes(files[2].read_bytes())
    assert tokens[files[1]].tolist() == before[2]
    soundfile.write(files[1], np.full(5000, 0.5), 16_000)
    assert tokens[files[1]].tolist() == [49] * 4
    assert tokens.codec.encoded == 5


def test_another_codec_has_a_cache_of_its_own(tmp_path, files):
    opened(tmp_path).prepare(files, progress=False)
    other = opened(tmp_path, name="v2")
    assert len(other) == 0
    with pytest.raises(ValueError, match=r"CountingCodec has no `tokenizer`.*pass a name"):
        AudioTokens(CountingCodec(), folder=tmp_path)


def test_the_shipped_codec_is_known_by_what_decides_its_tokens():
    codec = ToyCodec.load()
    name = codec_fingerprint(codec)
    assert name == codec_fingerprint(ToyCodec.load())
    next(codec.flow.parameters()).data += 1  # decides the sound, not the tokens
    assert codec_fingerprint(codec) == name
    codec.mel_mean += 0.5
    assert codec_fingerprint(codec) != name
    codec.mel_mean -= 0.5
    assert codec_fingerprint(codec) == name
    codec.tokenizer.enter.bias.data[0] += 1e-3
    assert codec_fingerprint(codec) != name


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 20])
def test_a_line_cut_off_by_a_crash_costs_one_audio(tmp_path, files, cut):
    first = opened(tmp_path)
    first.prepare(files, progress=False)
    content = first.path.read_bytes()
    first.path.write_bytes(content[:-cut])
    lost = int(cut > 1)  # the line break alone is no loss
    for expected in (lost, 0):
        again = opened(tmp_path)
        assert len(again) == len(files) - expected
        again.prepare(files, progress=False)
        assert again.codec.encoded == expected
        assert all((again[path] == first[path]).all() for path in files)


def test_two_at_work_on_one_cache_do_not_harm_each_other(tmp_path, files):
    one, two = opened(tmp_path), opened(tmp_path)
    one.prepare(files[:3], progress=False, workers=2)
    two.prepare(files[1:], progress=False, workers=2)
    both = opened(tmp_path)
    both.prepare(files, progress=False)
    assert both.codec.encoded == 0


def test_an_interrupted_run_keeps_what_it_did(tmp_path, files, monkeypatch):
    tokens = opened(tmp_path)
    encode = CountingCodec.encode

    def interrupted(codec, waveform, sample_rate):
        if codec.encoded == 2:
            raise KeyboardInterrupt
        return encode(codec, waveform, sample_rate)

    monkeypatch.setattr(CountingCodec, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tokens.prepare(files, progress=False)
    assert len(opened(tmp_path)) == 2


def test_what_cannot_be_read_is_named(tmp_path, files):
    broken, silent, gone = (tmp_path / f"{name}.flac" for name in ("broken", "silent", "gone"))
    broken.write_bytes(b"no audio")
    soundfile.write(silent, np.zeros(2000), 16_000)
    tokens = opened(tmp_path)
    for path in (broken, silent, gone):
        with pytest.raises(AudioInputError, match=str(path)):
            tokens.prepare([path], progress=False)
        with pytest.raises(AudioInputError, match=str(path)):
            tokens[path]
    refused = {}
    tokens.prepare([broken, *files, gone, silent], refused=refused.__setitem__, progress=False)
    assert set(refused) == {broken, silent, gone}
    assert len(tokens) == len(files)
