"""What a model is to say: a word has the same tokens wherever it stands, and the codec still says it rightly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from labkit.audio.toy import ToyCodec
from labkit.data.audio_tokens import AudioTokens
from labkit.data.corpus import CorpusSpec, generate
from labkit.data.export import ExportSpec, export
from labkit.data.mixture import TOY_MIXTURE
from labkit.data.phonemes import LANGUAGES
from labkit.data.speech_data import SpeechData
from labkit.data.word_tokens import SaidTokens, said_tokens
from labkit.evaluation.listener import Listener, sounds
from labkit.evaluation.rates import edits
from labkit.evaluation.recogniser import PhonemeJudge
from labkit.vocabulary import train_toy_tokenizer

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("own_cache")

EVEN = CorpusSpec(sentences=40, validation=0, test=0, probes=6, prosody="even")
TEXTS = ExportSpec(
    texts=4, documents=1, repeats=2, held_out_texts=1, held_out_documents=1, held_out_repeats=1
)


@pytest.fixture(scope="module")
def corpus(own_cache):
    return generate(EVEN, progress=False)


@pytest.fixture(scope="module")
def codec():
    return ToyCodec.load()


def test_a_word_has_the_same_tokens_wherever_it_stands(corpus, codec):
    said = {}
    for utterance in corpus:
        tokens = said_tokens(codec, utterance)
        for place, word in enumerate(utterance.words):
            own = tokens[round(word.start * codec.token_rate) : round(word.end * codec.token_rate)]
            name = utterance.language, word.text, utterance.sentence.readings[place]
            said.setdefault(name, []).append(tuple(own))
    often = {name: tokens for name, tokens in said.items() if len(tokens) > 1}
    assert len(often) > 50
    assert all(len(set(tokens)) == 1 for tokens in often.values())
    assert len({tokens[0] for tokens in said.values()}) > 0.9 * len(said)


def test_there_are_as_many_as_the_codec_makes_and_silence_between_words(corpus, codec):
    silence = codec.encode(torch.zeros(20 * 1280), 16_000)[10]
    for utterance in (corpus[index] for index in range(0, len(corpus), 7)):
        tokens = said_tokens(codec, utterance)
        assert tokens.dtype == np.int32
        assert len(tokens) == len(codec.encode(utterance.waveform, utterance.sample_rate))
        spoken = np.zeros(len(tokens), bool)
        for word in utterance.words:
            spoken[round(word.start * 12.5) : round(word.end * 12.5)] = True
        assert not spoken.all()
        assert (tokens[~spoken] == int(silence)).all()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_codec_says_them_as_well_as_its_own(corpus, codec, language):
    listener = Listener(codec, PhonemeJudge.load())
    errors = {"own": 0, "said": 0}
    phonemes = 0
    for utterance in (corpus[index] for index in corpus.indices(language=language)[:20]):
        own = codec.encode(utterance.waveform, utterance.sample_rate).tolist()
        for name, tokens in (("own", own), ("said", said_tokens(codec, utterance).tolist())):
            errors[name] += edits(sounds(utterance), listener.hear(listener.speak(tokens), language).phonemes)
        phonemes += len(sounds(utterance))
    assert errors["said"] / phonemes < min(0.06, errors["own"] / phonemes + 0.02)


def test_speech_off_the_beat_is_the_codecs_own(codec):
    for utterance in generate(replace(EVEN, prosody="varied", sentences=4, probes=2), progress=False):
        expected = codec.encode(utterance.waveform, utterance.sample_rate)
        np.testing.assert_array_equal(said_tokens(codec, utterance), expected)


def test_assistants_say_them_and_users_are_heard_as_the_codec_has_it(corpus, codec, tmp_path):
    folder = export(corpus, tmp_path / "export", TEXTS, progress=False)
    heard, said = (
        AudioTokens(codec, folder=tmp_path / "tokens"),
        SaidTokens(codec, corpus, folder=tmp_path / "tokens"),
    )
    assert heard.path != said.path
    tokenizer = train_toy_tokenizer((each.text for each in corpus), audio_tokens=codec.size)
    ratios = {each.name: 1.0 for each in TOY_MIXTURE if each.name.startswith(("asr", "tts", "speech-qa"))}
    ratios = {name: 1.0 for name in ratios if (folder / "train" / f"{name}.jsonl").exists()}
    data = SpeechData(
        folder / "train",
        ratios,
        tokenizer,
        audio=heard,
        said=said,
        modes=("boost",),
        length=1024,
        progress=False,
    )
    vocabulary = data.encoder.vocabulary
    checked = set()
    for name, samples in data.samples.items():
        for sample in samples:
            ids = data.encoder.encode(sample, data.modes[0]).input_ids
            made = vocabulary.audio_codes([token for token in ids.tolist() if vocabulary.is_audio(token)])
            expected = []
            for path, is_said in zip(sample.audios, sample.said, strict=True):
                utterance = corpus[int(path.stem)]
                own = codec.encode(utterance.waveform, utterance.sample_rate).tolist()
                expected += said_tokens(codec, utterance).tolist() if is_said else own
            assert list(made) == expected
            checked.add(name.split("-")[0])
    assert checked == {"asr", "tts", "speech"}
