"""VITA-Audio-Plus: rows in place of placeholders, its keys, and what is not Plus."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from releases import assistant, noise, release
from safetensors.torch import load_file, save_file

from labkit.audio.sensevoice.encoder import EncoderConfig
from labkit.checkpoints import CheckpointError
from labkit.generation import tasks
from labkit.model import SpeechLM, load_speech_lm, released_keys, size_config
from labkit.model.layout import released_state
from labkit.model.plus import AudioTower, load_plus, prompt_embeds, tower_key, tower_keys
from labkit.vocabulary import AudioContext, Chat, released_vocabulary
from labkit.vocabulary.prompts import speech_recognition


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of a Plus checkpoint, to be changed."""
    return Path(shutil.copytree(release(plus=True).model, tmp_path / "model"))


def test_rows_stand_where_the_placeholders_were() -> None:
    helper = assistant(plus=True)
    rows = helper.ears.encode(noise(1), 16000)
    assert rows.shape == (17 + 4, 48)
    chat = Chat(helper.tokenizer).encode(
        speech_recognition(), [AudioContext(len(rows))], add_generation_prompt=True
    )
    embeds = prompt_embeds(helper.model, chat, [rows])
    ((start, stop),) = chat.context_spans
    assert stop - start == len(rows)
    assert torch.equal(embeds[start:stop], rows)
    plain = helper.model.embed(torch.tensor([chat.input_ids]))[0]
    assert torch.equal(embeds[:start], plain[:start])
    assert torch.equal(embeds[stop:], plain[stop:])
    vocabulary = helper.vocabulary
    assert chat.input_ids[start - 1] == vocabulary.begin_of_audio
    assert chat.input_ids[stop] == vocabulary.end_of_audio
    with pytest.raises(ValueError, match=r"placeholders for \[21\] rows, given were \[20\]"):
        prompt_embeds(helper.model, chat, [rows[1:]])


def test_what_is_heard_is_what_generation_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    helper, read = assistant(plus=True), []
    plain = tasks.generate
    monkeypatch.setattr(
        tasks, "generate", lambda *a, prompt_embeds, **o: read.append(prompt_embeds) or plain(*a, **o)
    )
    for sound in (noise(1), noise(1) * 1e-3):
        reply = helper.transcribe((sound, 16000), max_new_tokens=1)
        (embeds,), ((start, stop),) = read.pop(), reply.prompt.context_spans
        assert torch.equal(embeds[start:stop], helper.ears.encode(sound, 16000))
    helper.answer("hello", max_new_tokens=1)
    assert read == [None]


def test_the_released_shapes_account_for_every_key() -> None:
    """On the meta device: 7B with 28 + 10 layers, SenseVoice and the adapter."""
    language = SpeechLM.empty(size_config("7B", released_vocabulary(plus=True).padded_size), num_modules=10)
    with torch.device("meta"):
        tower = AudioTower(EncoderConfig(), 3584)
    ours = {*released_state(language), *map(tower_key, tower.state_dict())}
    unused = {f"model.audio_model.model.ctc.ctc_lo.{kind}" for kind in ("weight", "bias")}
    assert ours | unused == {*released_keys(28, 10, tied=False), *tower_keys(EncoderConfig())}
    assert tuple(tower.adapter.mlp[0].weight.shape) == (3584, 512)
    assert tuple(tower.adapter.mlp[2].weight.shape) == (3584, 3584)
    assert released_state(language)["model.embed_tokens.weight"].shape[0] == 168072


def test_a_recogniser_that_lies_beside_it_is_left_alone(model: Path) -> None:
    file = sorted(model.glob("*.safetensors"))[0]
    state = load_file(file)
    prefix = "model.audio_model.model.ctc.ctc_lo."
    save_file({**state, f"{prefix}weight": torch.ones(20, 32), f"{prefix}bias": torch.ones(20)}, file)
    load_plus(model, tell=None)


def test_in_its_own_dtype_or_another() -> None:
    _, ears = load_plus(release(plus=True).model, dtype=torch.bfloat16, tell=None)
    assert ears.encode(noise(1), 16000).dtype == torch.bfloat16


def test_what_it_takes_is_told_of_both_parts() -> None:
    told: list[str] = []
    load_plus(release(plus=True).model, tell=told.append)
    assert told[0].startswith("model: ")
    assert "SenseVoice: 0.1" in told[1]


def test_plus_given_as_boost_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"is VITA-Audio-Plus; load it with labkit\.model\.plus"):
        load_speech_lm(release(plus=True).model, tell=None)


def test_plus_weights_under_a_boost_config_are_refused_by_name(model: Path) -> None:
    path = model / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "qwen2_mtp"}))
    with pytest.raises(CheckpointError) as caught:
        load_speech_lm(model, tell=None)
    assert "unexpected model.audio_projection.mlp.0.weight" in str(caught.value)
    assert "looks like VITA-Audio-Plus" in str(caught.value)


def test_boost_given_as_plus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not VITA-Audio-Plus"):
        load_plus(release().model, tell=None)
    folder = Path(shutil.copytree(release().model, tmp_path / "model"))
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "qwen2_mtp_sensevoice"}))
    with pytest.raises(CheckpointError, match=r"no tensors under model\.audio_model\.model\."):
        load_plus(folder, tell=None)


def test_keys_of_the_tower_at_fault_are_named(model: Path) -> None:
    (model / "am.mvn").rename(model / "front.mvn")
    with pytest.raises(FileNotFoundError, match=r"no am\.mvn in"):
        load_plus(model, front_end=model, tell=None)
    (model / "front.mvn").rename(model / "am.mvn")
    for file in model.glob("*.safetensors"):
        state = load_file(file)
        if "model.audio_projection.mlp.2.weight" in state:
            del state["model.audio_projection.mlp.2.weight"]
            save_file({**state, "model.audio_model.model.extra": torch.ones(1)}, file)
    with pytest.raises(CheckpointError) as caught:
        load_plus(model, tell=None)
    assert "missing model.audio_projection.mlp.2.weight" in str(caught.value)
    assert "unexpected model.audio_model.model.extra" in str(caught.value)
