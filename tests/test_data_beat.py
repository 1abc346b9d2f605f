"""Speech on a beat: words begin where tokens do, nothing else changes, the times stay true, and tokens come back."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from labkit.audio.toy import ToyCodec
from labkit.data.beat import speak_on_beat
from labkit.data.corpus import CorpusSpec, generate
from labkit.data.espeak import SpokenWord, Synthesizer
from labkit.data.phonemes import LANGUAGES, SILENCE
from labkit.data.prosody import PROSODIES
from labkit.paths import CACHE_VARIABLE

torch.set_num_threads(1)

BEAT = 0.08
SENTENCES = {
    "en": [SpokenWord("the"), SpokenWord("fisherman", pause=0.3), SpokenWord("caught"), SpokenWord("bass", "b'as")],
    "cmn": [
        SpokenWord("银", "yin2"), SpokenWord("行", "hang2"),
        SpokenWord("人", "ren2", pause=0.2), SpokenWord("多", "duo1"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("language", SENTENCES)
def test_every_word_begins_on_the_beat_and_the_end_comes_on_it(language):
    speech = speak_on_beat(Synthesizer(language), SENTENCES[language], lead=0.11, tail=0.1, beat=BEAT)
    places = np.array([*(word.start for word in speech.words), speech.seconds]) / BEAT
    np.testing.assert_allclose(places, places.round(), atol=1e-6)
    assert np.all(np.diff(places.round()) >= 1)
    assert places[0].round() >= 1
    assert len(speech.waveform) == round(speech.seconds * speech.sample_rate)


@pytest.mark.parametrize("language", SENTENCES)
def test_the_same_phonemes_are_said_in_order_and_without_gaps(language):
    synthesizer, words = Synthesizer(language), SENTENCES[language]
    bound = speak_on_beat(synthesizer, words, lead=0.11, tail=0.1, beat=BEAT)
    for number, word in enumerate(words):
        alone = synthesizer.speak([replace(word, pause=0.0)], lead=0.1, tail=0.1)
        assert [p.symbol for p in bound.phonemes if p.word == number] == [
            p.symbol for p in alone.phonemes if p.word == 0
        ]
        said, free = bound.words[number], alone.words[0]
        assert abs((said.end - said.start) - (free.end - free.start)) <= 0.5 * BEAT + 1e-6
    assert bound.phonemes[0].start == 0
    for before, after in itertools.pairwise(bound.phonemes):
        assert before.end == pytest.approx(after.start)
    assert bound.phonemes[-1].end == pytest.approx(bound.seconds)


@pytest.mark.parametrize("language", SENTENCES)
def test_a_word_sounds_the_same_wherever_it_stands(language):
    synthesizer, words = Synthesizer(language), SENTENCES[language]
    one = speak_on_beat(synthesizer, words, lead=0.1, tail=0.1, beat=BEAT)
    other = speak_on_beat(synthesizer, words[::-1], lead=0.3, tail=0.1, beat=BEAT)
    for number, word in enumerate(one.words):
        again = other.words[len(words) - 1 - number]
        np.testing.assert_array_equal(sound(one, word), sound(other, again))


def sound(speech, word):
    return speech.waveform[round(word.start * speech.sample_rate) : round(word.end * speech.sample_rate)]


def test_words_do_not_click():
    """A joint is no louder a step than those within the words."""
    speech = speak_on_beat(Synthesizer("en"), SENTENCES["en"], lead=0.1, tail=0.1, beat=BEAT)
    steps = np.abs(np.diff(speech.waveform))
    joints = [round(word.start * speech.sample_rate) for word in speech.words]
    assert max(steps[joint - 1] for joint in joints) < 0.1 * steps.max()


def test_silences_are_not_negative_and_there_is_something_to_say():
    with pytest.raises(ValueError, match="cannot be negative"):
        speak_on_beat(Synthesizer("en"), SENTENCES["en"], lead=-0.1, tail=0.1, beat=BEAT)
    with pytest.raises(ValueError, match="nothing to say"):
        speak_on_beat(Synthesizer("en"), [], lead=0.1, tail=0.1, beat=BEAT)


def test_its_silence_is_silent_and_its_words_are_not():
    """Times that did not move with the sound would put words into silence."""
    speech = speak_on_beat(Synthesizer("en"), SENTENCES["en"], lead=0.2, tail=0.2, beat=BEAT)

    def loudness(start, end):
        part = speech.waveform[round(start * speech.sample_rate) : round(end * speech.sample_rate)]
        return float(np.sqrt((part**2).mean()))

    silences = [
        loudness(p.start, p.end) for p in speech.phonemes if p.symbol == SILENCE and p.end - p.start > 0.1
    ]
    assert max(silences) < 0.2 * min(loudness(word.start, word.end) for word in speech.words)


def test_speaking_twice_gives_the_same_bytes():
    first, second = (
        speak_on_beat(Synthesizer("cmn"), SENTENCES["cmn"], lead=0.1, tail=0.1, beat=BEAT) for _ in range(2)
    )
    np.testing.assert_array_equal(first.waveform, second.waveform)


def test_on_the_beat_words_between_the_same_neighbors_have_more_tokens_in_common(tmp_path, monkeypatch):
    """In minimal pairs, which differ in two words and in where they pause."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    codec, alike = ToyCodec.load(), {}
    for prosody in PROSODIES:
        spec = CorpusSpec(sentences=0, validation=0, test=0, probes=8, prosody=prosody)
        corpus = generate(spec, workers=1, progress=False)
        for language in LANGUAGES:
            shares = [share for pair in corpus.probes(language) for share in shares_in_common(codec, *pair)]
            assert len(shares) >= 8
            alike[prosody, language] = np.mean(shares)
    for language in LANGUAGES:
        assert alike["even", language] > 0.95 > 0.3 > alike["varied", language]


def shares_in_common(codec, first, second):
    """Word by word, the share of its tokens that are the same and in the same place in both sentences."""
    codes = [
        codec.encode(utterance.waveform, utterance.sample_rate).tolist() for utterance in (first, second)
    ]
    differing = {first.homograph.index, *first.homograph.deciding}
    for place in range(1, len(first.words) - 1):
        if differing & {place - 1, place, place + 1} or paused(first, place) or paused(second, place):
            continue
        one, other = (
            own[round(utterance.words[place].start / BEAT) : round(utterance.words[place + 1].start / BEAT)]
            for own, utterance in zip(codes, (first, second), strict=True)
        )
        yield sum(a == b for a, b in zip(one, other, strict=False)) / max(len(one), len(other))


def paused(utterance, place):
    """Whether there is a pause before a word or after it."""
    words = utterance.words[place - 1 : place + 2]
    return any(after.start - before.end > 0.001 for before, after in itertools.pairwise(words))
