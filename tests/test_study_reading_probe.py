"""The linear probe of the reading: it finds what is there, and nothing where nothing is."""

import pytest
import torch

from labkit.study import reading_probe
from labkit.study.reading_probe import probe_readings


class Homograph:
    def __init__(self, reading):
        self.reading, self.index = reading, 0


class Said:
    """As much of an utterance as the probe itself looks at."""

    def __init__(self, word, reading):
        self.sentence = type("Sentence", (), {"words": (word,)})
        self.homograph, self.text = Homograph(reading), word


def sentences(count, words=("lead", "bass")):
    return [
        Said(words[i % len(words)], f"{words[i % len(words)]}/{'ab'[i // len(words) % 2]}")
        for i in range(count)
    ]


@pytest.fixture
def states(monkeypatch):
    """Two layers: noise in the first; in the second noise, with the reading written along one direction."""

    def made(system, utterances, mode, progress):
        generator = torch.Generator().manual_seed(len(utterances))
        states = torch.randn(len(utterances), 2, 16, generator=generator)
        signs = torch.tensor([1.0 if each.homograph.reading.endswith("a") else -1.0 for each in utterances])
        states[:, 1, 3] += 6 * signs
        return states

    monkeypatch.setattr(reading_probe, "homograph_states", made)


def test_a_reading_that_is_there_is_found_and_one_that_is_not_is_chance(states):
    noise, told = probe_readings(None, sentences(120), sentences(200), None, progress=False)
    assert told.value > 0.95
    assert noise.low < 0.5 < noise.high
    assert told.n == noise.n == 200


def test_homographs_met_in_one_reading_only_are_left_out(states):
    train = [each for each in sentences(120) if each.homograph.reading != "lead/b"]
    noise, _ = probe_readings(None, train, sentences(200), None, progress=False)
    assert noise.n == 100
    with pytest.raises(ValueError, match="no homograph of the test sentences is met in both readings"):
        probe_readings(None, sentences(10, ["wind"]), sentences(10), None, progress=False)


def test_a_sentence_without_a_homograph_is_refused(states):
    plain = Said("tree", "")
    plain.homograph = None
    with pytest.raises(ValueError, match="there is no homograph in 'tree'"):
        probe_readings(None, [plain], sentences(2), None, progress=False)
