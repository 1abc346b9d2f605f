"""Speech on a beat: words begin where tokens do, nothing else changes, and the times stay true."""

import numpy as np
import pytest

from labkit.data.beat import speak_on_beat
from labkit.data.espeak import SpokenWord, Synthesizer
from labkit.data.phonemes import SILENCE

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
def test_the_same_phonemes_are_said_at_much_the_same_pace(language):
    synthesizer, words = Synthesizer(language), SENTENCES[language]
    free = synthesizer.speak(words, lead=0.11, tail=0.1)
    bound = speak_on_beat(synthesizer, words, lead=0.11, tail=0.1, beat=BEAT)
    assert [p.symbol for p in bound.phonemes] == [p.symbol for p in free.phonemes]
    assert [p.word for p in bound.phonemes] == [p.word for p in free.phonemes]
    for before, after in zip(bound.phonemes, bound.phonemes[1:], strict=False):
        assert before.end == pytest.approx(after.start)
    assert bound.phonemes[-1].end == pytest.approx(bound.seconds)
    longest = max(
        abs((b.end - b.start) - (f.end - f.start)) for b, f in zip(bound.words, free.words, strict=True)
    )
    assert longest < 0.75 * BEAT


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
