"""What evaluation asks is what training asked: the same prompt, token by token, speech in it as the codec has it."""

import pytest
import torch
from speech import listener, speech_model

from labkit.audio.toy import ToyCodec
from labkit.data.audio_tokens import AudioTokens
from labkit.data.corpus import CorpusSpec, generate
from labkit.data.export import ExportSpec, export
from labkit.data.speech_data import SpeechData
from labkit.data.word_tokens import SaidTokens, said_tokens
from labkit.evaluation import answers
from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.asr import evaluate_asr
from labkit.evaluation.spoken_qa import evaluate_spoken_qa
from labkit.evaluation.tts import evaluate_tts
from labkit.interleave import BOOST
from labkit.vocabulary import train_toy_tokenizer

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("own_cache")

ON_A_BEAT = CorpusSpec(sentences=60, validation=0, test=0, probes=2, prosody="even")
FEW = ExportSpec(texts=4, documents=1, repeats=2, held_out_texts=1, held_out_documents=1, held_out_repeats=1)


@pytest.fixture(scope="module")
def world(own_cache, tmp_path_factory):
    """A corpus in which words said and words heard have different tokens, and the training prompts made of it."""
    corpus, codec = generate(ON_A_BEAT, progress=False), ToyCodec.load()
    folder = tmp_path_factory.mktemp("world")
    tokenizer = train_toy_tokenizer((each.text for each in corpus), audio_tokens=codec.size)
    train = export(corpus, folder / "export", FEW, progress=False) / "train"
    data = SpeechData(
        train,
        {
            path.stem: 1.0
            for path in train.glob("*-en.jsonl")
            if path.stem.startswith(("asr", "tts", "speech-qa"))
        },
        tokenizer,
        audio=AudioTokens(codec, folder=folder / "tokens"),
        said=SaidTokens(codec, corpus, folder=folder / "tokens"),
        modes=("boost",),
        length=1024,
        progress=False,
    )
    prompts = {}
    for name, samples in data.samples.items():
        for sample in samples:
            encoded = data.encoder.encode(sample, data.modes[0])
            untold = int((torch.from_numpy(encoded.labels) != -100).nonzero()[0])
            prompts.setdefault(name.removesuffix("-en"), set()).add(
                tuple(encoded.input_ids[:untold].tolist())
            )
    return corpus, codec, tokenizer, prompts


@pytest.fixture
def asked(world, monkeypatch):
    """A system that answers nothing, and the prompts that it gets."""
    _, codec, tokenizer, _ = world
    seen = []
    monkeypatch.setattr(answers, "generate", lambda model, prompts, mode, **_: (seen.extend(prompts), [])[1])
    model = speech_model(10)
    monkeypatch.setattr(SpeechSystem, "__post_init__", lambda self: None)
    return SpeechSystem(model, tokenizer, codec), seen


def test_recognition_hears_speech_as_in_training(world, asked):
    corpus, codec, _, prompts = world
    system, seen = asked
    utterances = [corpus[index] for index in corpus.indices(language="en", split="train", kind="plain")[:8]]
    assert any(system.heard(each) != said_tokens(codec, each).tolist() for each in utterances)
    evaluate_asr(system, utterances, BOOST, progress=False)
    assert len(seen) == len(utterances)
    assert {tuple(prompt) for prompt in seen} <= prompts["asr"]


def test_questions_are_heard_as_in_training(world, asked):
    corpus, _, _, prompts = world
    system, seen = asked
    indices = corpus.indices(language="en", split="train", kind="question")[:4]
    evaluate_spoken_qa(
        system, listener(), [(corpus[i], corpus[corpus[i].partner]) for i in indices], BOOST, progress=False
    )
    assert len(seen) == len(indices) > 0
    assert {tuple(prompt) for prompt in seen} <= prompts["speech-qa"]


def test_sentences_are_asked_for_as_in_training(world, asked):
    corpus, _, _, prompts = world
    system, seen = asked
    indices = corpus.indices(language="en", split="train", kind="plain")[:4]
    evaluate_tts(system, listener(), [(corpus[index], None) for index in indices], BOOST, progress=False)
    assert {tuple(prompt) for prompt in seen} <= prompts["tts"]
