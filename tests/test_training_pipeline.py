"""From a recipe to models: every stage in the released layout, nothing trained twice, changes never mixed up."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import releases
import torch
from tiny import TEXTS

from labkit.data.corpus import CorpusSpec
from labkit.data.mixture import ratios_of, with_ratios
from labkit.model import load_speech_lm
from labkit.paths import CACHE_VARIABLE, weights_folder
from labkit.training import __main__ as command
from labkit.training import pipeline as room
from labkit.training import release as cards
from labkit.training import train_stage
from labkit.training.pipeline import Pipeline, train_codec
from labkit.training.recipes import RECIPES, TOY, Annealing, Deepening, Distillation, Listening, recipe
from labkit.training.release import CARD, TRAINING, release, write_card
from labkit.training.stages import Part, StageError
from labkit.vocabulary import Vocabulary, load_tokenizer

SHORT = {"steps": 2, "rows": 2, "batch_rows": 2, "precision": "no"}
TINY = replace(
    TOY,
    corpus=CorpusSpec(sentences=20, validation=0, test=0, probes=0),
    row_tokens=512,
    texts=TEXTS,
    stages={number: replace(settings, **SHORT) for number, settings in TOY.stages.items()},
    deepening=Deepening(layers=2, settings=replace(TOY.stages[1], **SHORT)),
    listening=Listening({"asr-en": 1.0, "asr-clips-en": 1.0}, replace(TOY.stages[1], **SHORT)),
    annealing=Annealing({"tts-long-en": 1.0, "text-en": 1.0}, replace(TOY.stages[4], **SHORT)),
    distillation=Distillation({"tts-en": 1.0}, replace(TOY.stages[3], **SHORT)),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = Pipeline(TINY, tmp_path_factory.mktemp("models"))
    made.run(range(5))
    return made


def test_every_stage_leaves_a_model_in_the_released_layout(trained):
    modules = [load_speech_lm(trained.model_folder(n), tell=None).num_modules for n in range(5)]
    assert modules == [0, 0, 1, 10, 10]
    tokenizer = load_tokenizer(trained.model_folder(4))
    assert Vocabulary.from_tokenizer(tokenizer).audio_count == trained.codec.size
    run = json.loads((trained.model_folder(1) / "run.json").read_text(encoding="utf-8"))
    assert (run["stage"], run["last"]["step"]) == (1, 1)
    assert run["data"]["rows"] > 0


def test_the_backbone_of_stages_2_and_3_is_the_one_that_listened(trained):
    listened, _ = trained.trainings(2)
    heard, third = (load_speech_lm(each, tell=None) for each in (listened.model, trained.model_folder(3)))
    for name, value in heard.backbone.state_dict().items():
        assert torch.equal(value, third.backbone.state_dict()[name]), name


def test_stage_1_ends_deeper_than_it_began(trained):
    first, second = (each.folder for each in trained.trainings(1))
    shallow, deep = (load_speech_lm(each / "model", tell=None) for each in (first, second))
    assert (len(shallow.layers), len(deep.layers)) == (5, 7)
    for name, value in shallow.state_dict().items():
        assert torch.equal(value, deep.state_dict()[name]), f"{name} lies below the new layers"
    assert deep.layers[-1].mlp.down_proj.weight.any(), "the new layers learn"
    runs = [json.loads((each / "model" / "run.json").read_text(encoding="utf-8")) for each in (first, second)]
    assert [(run["stage"], run.get("layers on top")) for run in runs] == [(1, None), (1, 2)]
    assert runs[1]["sampling ratios"]["text-en"] < runs[0]["sampling ratios"]["text-en"]
    assert trained.model_folder(1) == second / "model"
    flat = Pipeline(replace(TINY, deepening=None), trained.folder.parent)
    assert [each.folder for each in flat.trainings(1)] == [first]
    assert flat.model_folder(2) != trained.model_folder(2)


def test_the_backbone_learns_to_listen_before_it_gets_its_modules(trained):
    listened, second = trained.trainings(2)
    first, heard = (load_speech_lm(each, tell=None) for each in (trained.model_folder(1), listened.model))
    assert heard.num_modules == 0
    moved = [
        not torch.equal(value, heard.backbone.state_dict()[name])
        for name, value in first.backbone.state_dict().items()
    ]
    assert all(moved[:-1]), "the whole backbone learns"
    run = json.loads((listened.model / "run.json").read_text(encoding="utf-8"))
    assert (run["stage"], run["listening"]) == (1, True)
    assert run["data"]["datasets"].keys() == TINY.listening.ratios.keys()
    assert trained.model_folder(2) == second.model
    at_once = Pipeline(replace(TINY, listening=None), trained.folder.parent)
    assert len(at_once.trainings(2)) == 1
    assert at_once.model_folder(2) != trained.model_folder(2)
    assert at_once.model_folder(1) == trained.model_folder(1)
    slower = replace(TINY, stages=TINY.stages | {2: replace(TINY.stages[2], steps=3)})
    assert Pipeline(slower, trained.folder.parent).trainings(2)[0].model == listened.model


def test_stage_4_goes_on_with_another_mixture(trained):
    tuned, annealed, *_ = trained.trainings(4)
    first, last = (load_speech_lm(each.model, tell=None) for each in (tuned, annealed))
    for part in ("backbone.", "chain."):
        assert any(
            not torch.equal(value, last.state_dict()[name])
            for name, value in first.state_dict().items()
            if name.startswith(part)
        ), f"the {part} learns on"
    run = json.loads((annealed.model / "run.json").read_text(encoding="utf-8"))
    assert (run["stage"], run["annealing"]) == (4, True)
    assert run["data"]["datasets"].keys() == TINY.annealing.ratios.keys()
    undistilled = replace(TINY, distillation=None)
    assert Pipeline(undistilled, trained.folder.parent).model_folder(4) == annealed.model
    as_begun = Pipeline(replace(undistilled, annealing=None), trained.folder.parent)
    assert as_begun.model_folder(4) == tuned.model
    kept_whole = replace(undistilled, annealing=replace(TINY.annealing, kept=1.0))
    unmoved = Pipeline(kept_whole, trained.folder.parent)
    kept = load_speech_lm(unmoved.run([4]), tell=None)
    assert unmoved.model_folder(4) not in (tuned.model, annealed.model)
    assert all(torch.equal(value, kept.state_dict()[name]) for name, value in first.state_dict().items())
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        replace(TINY.annealing, kept=2)


def test_stage_4_ends_with_the_chain_alone_on_the_backbones_states(trained):
    _, annealed, distilled = trained.trainings(4)
    before, after = (load_speech_lm(each.model, tell=None) for each in (annealed, distilled))
    moved = {
        name
        for name, value in before.state_dict().items()
        if not torch.equal(value, after.state_dict()[name])
    }
    assert moved
    assert all(name.startswith("chain.") for name in moved), "the backbone stays as it is"
    run = json.loads((distilled.model / "run.json").read_text(encoding="utf-8"))
    assert (run["stage"], run["distillation"]) == (4, True)
    assert run["data"]["datasets"].keys() == {"tts-en"}
    assert {f"state/module {k}" for k in range(10)} <= run["last"].keys()
    assert all(0 < run["last"][f"state/module {k}"] < 10 for k in range(10))
    tuned = json.loads((annealed.model / "run.json").read_text(encoding="utf-8"))
    assert not any(name.startswith("state/") for name in tuned["last"]), "the paper's stages know tokens only"
    assert trained.model_folder(4) == distilled.model


def test_what_is_trained_is_not_trained_again(trained, monkeypatch):
    monkeypatch.setattr(room, "train", lambda *_, **__: pytest.fail("it should have been found"))
    again = Pipeline(TINY, trained.folder.parent)
    assert again.run(range(5)) == trained.model_folder(4)


def test_a_changed_stage_keeps_those_before_it_and_not_those_after(trained):
    longer = replace(TINY, stages=TINY.stages | {2: replace(TINY.stages[2], steps=3)})
    changed = Pipeline(longer, trained.folder.parent)
    same = [changed.model_folder(n) == trained.model_folder(n) for n in range(5)]
    assert same == [True, True, False, False, False]
    unread = Pipeline(TINY, trained.folder.parent, pretrained=False)
    assert unread.model_folder(1) != trained.model_folder(1)


@pytest.mark.parametrize("random", [False, True])
def test_the_first_module_starts_as_the_recipe_says(trained, random):
    still = {2: replace(TINY.stages[2], learning_rates={Part.CHAIN: 0.0})}
    pipeline = Pipeline(
        replace(TINY, random_module=random, stages=TINY.stages | still), trained.folder.parent
    )
    model = load_speech_lm(pipeline.run([2]), tell=None)
    copied = torch.equal(model.chain[0].layer.mlp.up_proj.weight, model.layers[-1].mlp.up_proj.weight)
    assert copied is not random


@pytest.mark.parametrize("asked", [[3], [0, 1, 3]])
def test_a_stage_without_its_predecessor_says_so_before_anything_is_made(tmp_path, monkeypatch, asked):
    for name in ("generate", "export", "train_toy_tokenizer", "train"):
        monkeypatch.setattr(room, name, lambda *_, **__: pytest.fail("too early"))
    with pytest.raises(FileNotFoundError, match="stage 3 starts from stage 2"):
        Pipeline(TINY, tmp_path).run(asked)


def test_other_ratios_of_the_deepening_make_another_folder(tmp_path):
    more = with_ratios(TINY.mixture, lambda each: each.name == "text-en", {2: 0.123})
    (flat, deeper), (same, other) = (
        Pipeline(each, tmp_path).trainings(1) for each in (TINY, replace(TINY, mixture=more))
    )
    assert other.ratios["text-en"] == 0.123
    assert (flat.folder, other.folder.parent) == (same.folder, deeper.folder.parent)
    assert deeper.folder != other.folder


def test_a_tokenizer_that_was_half_written_is_made_again(tmp_path, monkeypatch):
    class Made:
        def save_pretrained(self, folder):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
            if self.fails:
                raise KeyboardInterrupt
            (folder / "tokenizer.json").write_text("{}", encoding="utf-8")

    monkeypatch.setattr(room, "generate", lambda _: SimpleNamespace(indices=lambda split: []))
    monkeypatch.setattr(room, "train_toy_tokenizer", lambda *_: Made())
    monkeypatch.setattr(room, "load_tokenizer", lambda folder: sorted(each.name for each in folder.iterdir()))
    Made.fails = True
    with pytest.raises(KeyboardInterrupt):
        _ = Pipeline(TINY, tmp_path).tokenizer
    Made.fails = False
    assert Pipeline(TINY, tmp_path).tokenizer == ["tokenizer.json", "tokenizer_config.json"]


def test_a_release_says_where_it_comes_from(trained, tmp_path):
    folder = release(trained, 4, tmp_path / "shipped")
    model = load_speech_lm(folder, tell=None)
    assert (model.dtype, model.num_modules) == (torch.float16, 10)
    assert len(load_tokenizer(folder)) == len(trained.tokenizer)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "python -m labkit.training toy --stages 0 1 2 3 4 --out FOLDER" in card
    for number in range(5):
        assert f"| {number} " in card
    assert "| 1 alignment, with 2 more layers on top | 2 |" in card
    assert "| 1 alignment, then recognition | 2 |" in card
    assert "| 4 fine-tuning, then annealing | 2 |" in card, "without a mean, none is told of"
    assert "| 4 fine-tuning, then the chain alone, on the backbone's states too | 2 |" in card
    assert "safetensors, half precision, " in card
    assert "Stage 1 started from random weights" not in card
    assert "started from random weights" in card
    assert "Scores" not in card
    corpus = json.loads((folder / "training.json").read_text(encoding="utf-8"))["corpus"]
    assert (corpus["sentences"], corpus["languages"]) == (20, ["en", "cmn"])
    assert "`CorpusSpec(sentences=20, validation=0, test=0, probes=0)`" in card
    row = {"language": "en", "task": "tts", "mode": "boost", "measure": "x", "value": 0.5, "low": 0.4, "n": 7}
    scores = {"steps": 2, "table": [row | {"high": None}]}
    (folder / "scores.json").write_text(json.dumps(scores), encoding="utf-8")
    write_card(folder)
    assert "| en | tts | boost | x | 0.5 [0.4, ∞] | 7 |" in (folder / "README.md").read_text(encoding="utf-8")


def test_a_release_in_8_bits_takes_half_the_room_and_says_so(trained, tmp_path):
    usual = release(trained, 1, tmp_path / "usual")
    made = Pipeline(replace(TINY, deepening=None), trained.folder.parent, pretrained=False)
    made.run([1])
    folder = release(made, 1, tmp_path / "shipped", eight_bits=True)
    card = (folder / CARD).read_text(encoding="utf-8")
    assert "--without-stage-0 --without-deepening --eight-bits --stages 1 --out FOLDER" in card
    assert "matrices in 8 bits (`float8_e4m3fn`, loaded as float16), " in card
    assert "| 1 alignment | 2 |" in card
    assert "Stage 1 started from random weights" in card
    assert "more layers on top" not in card
    model, whole = load_speech_lm(folder, tell=None), load_speech_lm(made.model_folder(1), tell=None)
    assert model.dtype == torch.float16
    file = "model.safetensors"
    layers = [len(load_speech_lm(each, tell=None).layers) for each in (usual, folder)]
    assert layers == [7, 5]
    assert (folder / file).stat().st_size < 0.51 * (made.model_folder(1) / file).stat().st_size / 2
    for (name, own), (_, stored) in zip(whole.named_parameters(), model.named_parameters(), strict=True):
        # 3 bits of mantissa; what is smaller than the smallest normal number is off by its last digit.
        torch.testing.assert_close(stored.float(), own.float(), rtol=0.0625, atol=2**-10, msg=name)


BARE = "speech-lm-stage-1-without-stage-0"
SHIPPED = (BARE, "speech-lm-stage-1", "speech-lm-stage-4")


def card_of(shipped: str, folder: Path, change: Callable[[dict], object] = lambda training: None) -> str:
    """The card as it is written today from what a shipped model was trained with, changed or not."""
    training = json.loads((weights_folder() / shipped / TRAINING).read_text(encoding="utf-8"))
    change(training)
    (folder / TRAINING).write_text(json.dumps(training), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    write_card(folder)
    return (folder / CARD).read_text(encoding="utf-8")


@pytest.mark.parametrize("shipped", SHIPPED)
def test_a_card_has_the_machine_of_every_training(tmp_path, shipped):
    def move(training):
        training["runs"][0]["machine"] = "2 x another machine"

    rows = [
        line
        for line in card_of(shipped, tmp_path, move).split("Losses")[0].splitlines()
        if line.startswith("| ")
    ]
    head, first, *others = (row.split(" | ")[5] for row in rows)
    assert (head, first) == ("machine", "2 x another machine")
    assert bool(others) == (shipped != BARE)
    assert "2 x another machine" not in others


@pytest.mark.parametrize("shipped", SHIPPED)
def test_a_card_says_where_the_recipe_has_changed_since(tmp_path, monkeypatch, shipped):
    """Of a recipe, each run notes its own settings and ratios, and all else of it as it then was."""

    def train_anew(training, recipe):
        for run in training["runs"]:
            number, settings = run["stage"], recipe.stages[run["stage"]]
            run["sampling ratios"] = ratios_of(recipe.mixture, number)
            if number == 1 and "layers on top" in run:
                settings, run["sampling ratios"] = recipe.deepening.settings, ratios_of(recipe.mixture, 2)
            if run.get("listening"):
                settings, run["sampling ratios"] = recipe.listening.settings, recipe.listening.ratios
            if run.get("annealing"):
                settings, run["sampling ratios"] = recipe.annealing.settings, recipe.annealing.ratios
            run["recipe"] = asdict(replace(recipe, mixture=())) | {"stages": {number: asdict(settings)}}

    def changed(recipe):
        monkeypatch.setattr(cards, "RECIPES", {"toy": recipe})
        return "an earlier version of the recipe" in card_of(shipped, tmp_path, lambda t: train_anew(t, TOY))

    assert not changed(TOY)
    # What comes after a model's own stages does not matter to it.
    is_last = shipped == "speech-lm-stage-4"
    assert changed(replace(TOY, listening=None)) == is_last
    assert changed(replace(TOY, annealing=None)) == is_last
    assert not changed(replace(TOY, distillation=TINY.distillation)), "nor what comes after it"
    assert changed(replace(TOY, stages=TOY.stages | {4: TOY.stages[3]})) == is_last
    assert changed(replace(TOY, row_tokens=512))
    assert changed(replace(TOY, stages=TOY.stages | {1: TOY.stages[3]}))
    deepens = shipped != BARE
    assert changed(replace(TOY, deepening=replace(TOY.deepening, layers=1))) == deepens
    assert changed(replace(TOY, mixture=with_ratios(TOY.mixture, lambda each: True, {2: 0.5}))) == deepens
    monkeypatch.setattr(cards, "RECIPES", {})
    assert "an earlier version" not in card_of(shipped, tmp_path)


def test_the_command_of_a_card_makes_the_model_again(trained, tmp_path):
    codec = tmp_path / "a codec"
    shutil.copytree(weights_folder() / "toy-codec", codec)
    pipeline = Pipeline(TINY, trained.folder.parent, codec=codec)
    assert pipeline.folder == trained.folder, "the codec is the same one"
    card = (release(pipeline, 1, tmp_path / "out", scale=0.5) / CARD).read_text(encoding="utf-8")
    assert f"toy --codec '{codec}' --scale 0.5 --stages 0 1 --out FOLDER" in card


def test_the_command_trains_what_is_missing_and_ships_the_last(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "recipe", {"toy": TINY}.get)
    monkeypatch.setattr(room, "train", lambda *_, **__: pytest.fail("it should have been found"))
    where = ["--folder", str(trained.folder.parent), "--threads", "1"]
    command.main(["toy", "--stages", "0", "1", *where])
    assert str(trained.model_folder(1)) in capsys.readouterr().out
    command.main(["toy", *where, "--out", str(tmp_path / "shipped")])
    assert (tmp_path / "shipped" / "README.md").exists()
    flat = [*where, "--without-deepening", "--eight-bits", "--out", str(tmp_path / "flat")]
    command.main(["toy", "--stages", "0", "1", *flat])
    card = (tmp_path / "flat" / "README.md").read_text(encoding="utf-8")
    assert "toy --without-deepening --eight-bits --stages 0 1 --out FOLDER" in card
    assert len(load_speech_lm(tmp_path / "flat", tell=None).layers) == 5
    with pytest.raises(SystemExit):
        command.main(["toy", "--stages", "7"])


def test_a_codec_is_named_after_its_corpus_as_it_is_made_today(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    trained_codecs = []

    def save_nothing(training, folder):
        trained_codecs.append(folder)
        (folder / "recipe.json").write_text("{}", encoding="utf-8")

    monkeypatch.setattr(room, "codec_training", lambda *_: None)
    monkeypatch.setattr(room, "save_codec", save_nothing)
    folder = train_codec(recipe("small"))
    assert train_codec(recipe("small")) == folder
    assert trained_codecs == [folder]
    monkeypatch.setattr(room, "corpus_key", lambda spec: "changed grammar")
    assert train_codec(recipe("small")) != folder


def test_recipes_are_complete_and_named():
    for each in RECIPES.values():
        assert sorted(each.stages) == [0, 1, 2, 3, 4]
    assert TOY.scaled(0.01).stages[1].steps == round(0.01 * TOY.stages[1].steps)
    assert TINY.scaled(3).deepening.settings.steps == 3 * TINY.deepening.settings.steps
    assert TINY.scaled(3).listening.settings.steps == 3 * TINY.listening.settings.steps
    assert TINY.scaled(3).annealing.settings.steps == 3 * TINY.annealing.settings.steps
    with pytest.raises(ValueError, match="the recipes are toy, small"):
        recipe("large")


def test_one_stage_refuses_what_does_not_fit_before_it_reads_the_data(tmp_path, monkeypatch):
    monkeypatch.setattr(train_stage, "SpeechData", lambda *_, **__: pytest.fail("too early"))
    where = ["--data", "tts.jsonl", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    where += ["--steps", "2"]
    with pytest.raises(ValueError, match="this model learned another codec's tokens"):
        train_stage.main(["4", "--start", str(releases.release().model), *where])
    with pytest.raises(StageError, match="the model has 10 already"):
        train_stage.main(["2", "--start", str(weights_folder() / "speech-lm-stage-4"), *where])


def test_one_stage_of_a_released_checkpoint_on_glm_4_voices_tokens(trained, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    released, samples = releases.release(), trained._samples / "train"
    where = [
        "--run",
        str(tmp_path / "run"),
        "--out",
        str(tmp_path / "out"),
        "--data",
        str(samples / "tts-en.jsonl"),
    ]
    size = ["--steps", "2", "--rows", "2", "--tokens", "512", "--codec", str(released.tokenizer)]
    train_stage.main(["4", "--start", str(released.model), *where, *size])
    before, after = (load_speech_lm(path, tell=None) for path in (released.model, tmp_path / "out"))
    assert after.num_modules == before.num_modules == 10
    moved = (
        before.state_dict()["backbone.lm_head.weight"].float()
        - after.state_dict()["backbone.lm_head.weight"].float()
    )
    assert moved.abs().max() > 0
    [kept] = (tmp_path / "cache" / "audio-tokens").glob("*.txt")
    heard = {int(token) for line in kept.read_text().splitlines() for token in line.rstrip(".").split()[2:]}
    assert max(heard) < Vocabulary.from_tokenizer(load_tokenizer(tmp_path / "out")).audio_count


def test_one_stage_on_data_of_ones_own(trained, tmp_path, capsys):
    samples = trained._samples / "train"
    broken = tmp_path / "mine.jsonl"
    lines = (samples / "text-en.jsonl").read_text(encoding="utf-8").splitlines()
    broken.write_text("\n".join([*lines[:12], "{not JSON"]) + "\n", encoding="utf-8")
    files = ["--data", str(samples / "tts-en.jsonl"), str(broken), "--ratios", "1", "0.5"]
    where = ["--run", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    size = ["--steps", "2", "--rows", "2", "--tokens", "512", "--on-fault", "skip"]
    train_stage.main(["2", "--start", str(trained.model_folder(1)), *files, *where, *size])
    assert load_speech_lm(tmp_path / "out", tell=None).num_modules == 1
    assert "mine.jsonl:13" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2 data files but 1 ratios"):
        train_stage.main(["2", "--start", "x", *files[:-1], *where, *size])
