"""A whole tiny release, loaded from disk, does what the release can be asked for: every task, every mode, streaming."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from releases import assistant, codec, noise, release

from labkit.audio.glm4_voice.codec import empty_decoder
from labkit.audio.glm4_voice.flow import FlowConfig
from labkit.audio.glm4_voice.hift import HiFTConfig
from labkit.audio.glm4_voice.tokenizer import TokenizerConfig, WhisperVQ
from labkit.audio.sensevoice.encoder import EncoderConfig
from labkit.benchmark.first_audio import benchmark_first_audio
from labkit.checkpoints import CheckpointError
from labkit.generation import FastPath, InLayout, TextPiece
from labkit.generation.release import PARTS, Release, load_release
from labkit.generation.tasks import Assistant, Reply, Sound
from labkit.interleave import deinterleave, interleave, mode
from labkit.model import count_parameters, size_config
from labkit.model.plus import AudioTower
from labkit.vocabulary import train_toy_tokenizer

QUESTION = (noise(1.2), 16000)
MODES = ("boost", "balance", "turbo", "vanilla")


def ask(helper: Assistant, name: str, **options: object) -> Reply:
    choices = {"constrained": True, "choose": InLayout(name), "max_new_tokens": 60, "steps": 1}
    return helper.speech_to_speech(QUESTION, name, **{**choices, **options})


@pytest.mark.parametrize("plus", [False, True], ids=["boost", "plus"])
@pytest.mark.parametrize("name", MODES)
def test_speech_to_speech_from_end_to_end(name: str, plus: bool) -> None:
    helper = assistant(plus)
    reply = ask(helper, name).finish()
    assert reply.text
    assert len(reply.waveform) == 256 * (len(reply.codes) * 441 // 64) > 0
    assert reply.waveform.isfinite().all()
    assert reply.waveform.abs().max() <= 0.99
    vocabulary = helper.vocabulary
    ids = reply.generation.state.ids[0, len(reply.prompt.input_ids) : reply.generation.state.length].tolist()
    text, audio = deinterleave(ids, vocabulary)
    assert vocabulary.audio_codes(audio) == reply.codes
    whole = interleave(text, audio, mode(name), vocabulary)
    assert ids[:40] == whole[:40]  # the last chunk may be cut short
    report = reply.generation.report
    assert (report.module_steps == 0) == (name == "vanilla")
    assert report.backbone_passes + report.module_steps == 60


def test_sound_comes_while_tokens_are_still_being_made() -> None:
    reply = ask(assistant(), "boost")
    pieces = iter(reply)
    first = next(piece for piece in pieces if isinstance(piece, Sound))
    assert len(first.codes) == 8
    assert len(first.samples) > 0
    assert reply.generation.report.slots == 11  # one text token, the two tags and eight audio tokens
    assert 0 < first.decoding <= first.seconds
    assert reply.encoding > 0
    rest = list(pieces)
    assert any(isinstance(piece, TextPiece) for piece in rest)
    assert rest[-1].codes == ()
    assert len(rest[-1].samples) > 0


def test_chunks_need_not_wait_for_their_end() -> None:
    reply = ask(assistant(), "boost", every=4).finish()
    assert [len(sound.codes) for sound in reply.sounds[:4]] == [4, 4, 4, 4]


def test_the_prompts_are_the_releases() -> None:
    helper = assistant()
    spell = helper.tokenizer.decode
    audio = "<|begin_of_audio|>" + "".join(f"<|audio_{i}|>" for i in codec().encode(*QUESTION).tolist())
    audio += "<|end_of_audio|>"
    asked = {
        "luke": ask(helper, "boost"),
        "voice": ask(helper, "boost", voice=QUESTION),
        "asr": helper.transcribe(QUESTION, max_new_tokens=3),
        "tts": helper.say("hello", max_new_tokens=3),
        "voiced": helper.say("hello", voice=QUESTION, max_new_tokens=3),
        "text": helper.answer("hello", max_new_tokens=3),
    }
    luke = "Your Name: Luke\nYour Gender: male\n\nRespond in a text-audio interleaved manner."
    voice = f"<|im_start|>system\nYour Voice: {audio}\n<|im_end|>\n"
    prompts = {
        "luke": f"<|im_start|>system\n{luke}<|im_end|>\n<|im_start|>user\n\n{audio}<|im_end|>\n",
        "voice": f"{voice}<|im_start|>user\n\n{audio}<|im_end|>\n",
        "asr": f"<|im_start|>user\nConvert the speech to text.\n{audio}<|im_end|>\n",
        "tts": "<|im_start|>user\nConvert the text to speech.\nhello<|im_end|>\n",
        "voiced": f"{voice}<|im_start|>user\nConvert the text to speech.\nhello<|im_end|>\n",
        "text": "<|im_start|>user\nhello<|im_end|>\n",
    }
    for name, reply in asked.items():
        assert spell(reply.prompt.input_ids) == prompts[name] + "<|im_start|>assistant\n", name


def test_plus_hears_rows_where_the_others_hear_tokens() -> None:
    reply = ask(assistant(plus=True), "boost", voice=QUESTION)
    rows = -(-118 // 6) + 4  # 1.2 seconds are 118 frames
    assert [stop - start for start, stop in reply.prompt.context_spans] == [rows, rows]
    assert not assistant(plus=True).vocabulary.is_audio(torch.tensor(reply.prompt.input_ids)).any()


@pytest.mark.parametrize("name", MODES)
def test_every_task_in_every_mode(name: str) -> None:
    helper = assistant()
    options = {"max_new_tokens": 24, "steps": 1}
    assert helper.transcribe(QUESTION, name, **options).finish().text is not None
    assert helper.answer("hello", name, **options).finish().text is not None
    said = helper.say("hello", name, constrained=True, choose=InLayout(name), **options).finish()
    assert said.codes


def test_the_same_question_gets_the_same_answer() -> None:
    first, again = (ask(assistant(), "turbo").finish() for _ in range(2))
    assert first.codes == again.codes
    assert torch.equal(first.waveform, again.waveform)


# Parts that do not belong together


def test_a_tokenizer_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    for part in ("model", "tokenizer", "decoder"):
        shutil.copytree(getattr(release(), part), folder / part)
    files = Release.below(folder)
    config = folder / "model" / "config.json"
    raw = json.loads(config.read_text())
    train_toy_tokenizer(["hello there " * 3], audio_tokens=96, vocab_size=400).save_pretrained(
        folder / "model"
    )
    with pytest.raises(CheckpointError, match="has 96 audio tokens, the codec 64"):
        load_release(files, tell=None)
    config.write_text(json.dumps({**raw, "vocab_size": raw["vocab_size"] + 8}))
    with pytest.raises(CheckpointError, match=r"misshapen lm_head.weight"):
        load_release(files, tell=None)


def test_ids_beyond_the_models_rows_are_refused() -> None:
    helper = assistant()
    larger = train_toy_tokenizer([" ".join(f"w{i}x{i}" for i in range(200))], audio_tokens=64, vocab_size=900)
    with pytest.raises(ValueError, match="give the tokenizer that lies beside the model"):
        Assistant(helper.model, larger, helper.codec)


def test_plus_and_boost_do_not_mix() -> None:
    plain, plus = assistant(), assistant(plus=True)
    with pytest.raises(ValueError, match="VITA-Audio-Plus's and needs its ears"):
        Assistant(plus.model, plus.tokenizer, plus.codec)
    with pytest.raises(ValueError, match="VITA-Audio-Plus's and needs its ears"):
        Assistant(plain.model, plain.tokenizer, plain.codec, plus.ears)


# Timing


def test_what_stands_before_the_first_sound_is_measured_with_this_codec_too() -> None:
    """Table 9's three parts: encoder, first chunk, decoder."""
    helper = assistant()
    fast = FastPath(helper.model, capacity=64)
    timed = benchmark_first_audio(
        fast, [1, 2, 3], helper.codec, helper.vocabulary, repeats=1, question_seconds=0.5
    )
    for row in timed.values():
        assert all(row[part]["median"] > 0 for part in ("encoder", "chunk", "decoder"))


# Files


def test_missing_files_are_listed(tmp_path: Path) -> None:
    assert release().missing() == []
    folder = Path(shutil.copytree(release().model.parent, tmp_path / "release"))
    (folder / "decoder" / "flow.pt").unlink()
    (folder / "model" / "tokenizer.json").unlink()
    assert Release.below(folder).missing() == [
        str(folder / "model" / "tokenizer.json"),
        str(folder / "decoder" / "flow.pt"),
    ]
    assert len(Release.below(tmp_path / "nowhere").missing()) == 10
    assert Release().missing() == []  # hub ids: fetched when they are loaded


def test_the_sizes_told_are_those_of_the_shapes() -> None:
    """Gigabytes of each part, counted on the meta device."""

    def count(*modules: torch.nn.Module) -> int:
        return sum(parameter.numel() for module in modules for parameter in module.parameters())

    with torch.device("meta"):
        tokenizer, tower = WhisperVQ(TokenizerConfig()), AudioTower(EncoderConfig(), 3584)
    statistics = 16384 * 1281
    recogniser = 25055 * 513
    seven = size_config("7B")
    bytes_of = {
        "VITA-MLLM/VITA-Audio-Boost": 2 * count_parameters(seven, 10),
        "VITA-MLLM/VITA-Audio-Balance": 2 * count_parameters(seven, 10),
        "VITA-MLLM/VITA-Audio-Plus-Boost": 2 * (count_parameters(seven, 10) + count(tower) + recogniser),
        "VITA-MLLM/VITA-Audio-Plus-Vanilla": 2 * (count_parameters(seven) + count(tower) + recogniser),
        "THUDM/glm-4-voice-tokenizer": 4 * (count(tokenizer) + statistics),
        "THUDM/glm-4-voice-decoder": 4 * count(*empty_decoder(FlowConfig(), HiFTConfig())),
    }
    for part in PARTS:
        if part.source in bytes_of:
            assert part.gigabytes == pytest.approx(bytes_of[part.source] / 1e9, rel=0.01), part.source
