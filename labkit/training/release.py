"""A trained model made ready to ship: half precision, its tokenizer, what it was trained with, and a card."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from labkit.data.corpus import CorpusSpec
from labkit.data.mixture import ratios_of
from labkit.model import load_speech_lm, save_speech_lm
from labkit.training.pipeline import Pipeline
from labkit.training.recipes import RECIPES, Recipe
from labkit.training.stages import STAGES

EIGHT_BITS = torch.float8_e4m3fn
"""A sign, four bits of exponent and three of mantissa: a weight is off by a sixteenth at most, or by a thousandth."""

TRAINING, SCORES, CARD = "training.json", "scores.json", "README.md"

_CARD = """# {title}

A speech language model of {parameters:.1f} M parameters, {modules} MCTP modules included, in the released checkpoint
layout. It reads and speaks the toy speech world, English and Mandarin sentences of a small grammar in synthetic voices,
in the audio tokens of the codec that it was trained with. For teaching and for trying methods; no use for anything
else.

- **Weights**: safetensors, {precision}, {megabytes:.1f} MB. `labkit.model.load_speech_lm` loads them,
  `labkit.vocabulary.load_tokenizer` the tokenizer beside them.
- **Data**: the training split of the toy corpus (espeak-ng, `{corpus}`) and text of the
  same grammar. Mixtures: `labkit.data.mixture.TOY_MIXTURE`.
- **Command**: `{command}`, then `python -m labkit.evaluation.speech_lm --model FOLDER` for the scores.

## Training

Seed {seed}, {optimizer}, cosine.{untaught}{start}{earlier}

| stage | steps | tokens a step | learning rate | minutes | machine | loss at the end | accuracy at the end |
|---|---|---|---|---|---|---|---|
{stages}

Losses are in nats a token: the backbone's, then the mean of the modules'.
"""

_EIGHT_BITS = "matrices in 8 bits (`float8_e4m3fn`, loaded as float16)"

_UNTAUGHT = """

Stage 1 started from random weights, where the toy's starts from a model that has read text (stage 0)."""

_START = """

The first module's layer started from random weights and the later modules from copies of it. The paper copies the
backbone's last layer; lesson 06 trains both."""

_EARLIER = f"""

Some of its stages were trained with an earlier version of the recipe; `{TRAINING}` has the one that was used."""

_SCORES = """
## Scores

Held-out sentences, 95% intervals in brackets, {steps} Euler steps of the codec. "codec" is the ceiling: the true audio
tokens, decoded and judged the same way.

| language | task | mode | measure | value | n |
|---|---|---|---|---|---|
{rows}
"""

_OPTIMIZERS = {"adamw": "AdamW", "muon": "Muon for the layers' matrices and AdamW for the rest"}


def release(
    pipeline: Pipeline, number: int, folder: Path, *, scale: float = 1.0, eight_bits: bool = False
) -> Path:
    """Write the model of a stage to a folder, in half precision, with all that says where it comes from.

    Args:
        scale: by which the steps of the pipeline's recipe were multiplied (`Recipe.scaled`).
        eight_bits: whether matrices are stored in 8 bits (`EIGHT_BITS`), which takes half the room.

    Raises:
        FileNotFoundError: that stage, or one before it, has not been trained.
    """
    model = load_speech_lm(pipeline.model_folder(number), dtype=torch.float16, tell=None)
    save_speech_lm(model, folder, matrices=EIGHT_BITS if eight_bits else None)
    pipeline.tokenizer.save_pretrained(folder)
    compact(folder / "tokenizer.json")
    first = 0 if pipeline.pretrained else 1
    runs = [
        json.loads((training.model / "run.json").read_text(encoding="utf-8"))
        for each in range(first, number + 1)
        for training in pipeline.trainings(each)
    ]
    recipe = pipeline.recipe
    options = [] if pipeline.pretrained else ["--without-stage-0"]
    if recipe.deepening is None and getattr(RECIPES.get(recipe.name), "deepening", None):
        options += ["--without-deepening"]
    if pipeline.codec_folder is not None:
        options += ["--codec", str(pipeline.codec_folder)]
    if scale != 1.0:
        options += ["--scale", str(scale)]
    if eight_bits:
        options += ["--eight-bits"]
    options += ["--stages", *map(str, range(first, number + 1))]
    training = {
        "command": f"python -m labkit.training {recipe.name} {shlex.join(options)} --out FOLDER",
        "scale": scale,
        "eight bits": eight_bits,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "modules": model.num_modules,
        "seed": recipe.seed,
        "corpus": asdict(recipe.corpus),
        "runs": runs,
    }
    (folder / TRAINING).write_text(json.dumps(training, indent=1) + "\n", encoding="utf-8")
    write_card(folder)
    return folder


def compact(path: Path) -> None:
    """Rewrite a JSON file without its white space; tokenizers come with half of it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def write_card(folder: Path) -> None:
    """The model's card, from the numbers beside it: `training.json`, and `scores.json` once it has been evaluated."""
    training = json.loads((folder / TRAINING).read_text(encoding="utf-8"))
    (settings,) = training["runs"][-1]["recipe"]["stages"].values()
    card = _CARD.format(
        title=folder.name,
        parameters=training["parameters"] / 1e6,
        modules=training["modules"],
        precision=_EIGHT_BITS if training.get("eight bits") else "half precision",
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        corpus=_corpus(training["corpus"]),
        command=training["command"],
        seed=training["seed"],
        optimizer=_OPTIMIZERS[settings["optimizer"]],
        untaught="" if training["runs"][0].get("text pre-training", True) else _UNTAUGHT,
        start=_START if training["modules"] and training["runs"][-1]["recipe"].get("random_module") else "",
        earlier="" if _as_today(training) else _EARLIER,
        stages="\n".join(map(_stage_row, training["runs"])),
    )
    if (folder / SCORES).exists():
        scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
        card += _SCORES.format(steps=scores["steps"], rows="\n".join(map(_score_row, scores["table"])))
    (folder / CARD).write_text(card, encoding="utf-8")


def _corpus(spec: Mapping) -> str:
    """The spec of a corpus as one would write it, its defaults left out."""
    usual = json.loads(json.dumps(asdict(CorpusSpec())))
    return f"CorpusSpec({', '.join(f'{name}={value!r}' for name, value in spec.items() if value != usual[name])})"


def _as_today(training: Mapping) -> bool:
    """Whether today's recipes of these names train every run as it was trained; none to compare with counts as yes."""
    scale = training.get("scale", 1.0)  # which older files do not have
    pairs = [(run, RECIPES.get(run["recipe"]["name"])) for run in training["runs"]]
    return all(now is None or _trains(now.scaled(scale), run) for run, now in pairs)


def _trains(recipe: Recipe, run: Mapping) -> bool:
    """Whether a recipe trains a run as it was trained. What it does only after the run does not matter."""
    number, then, now = run["stage"], run["recipe"], json.loads(json.dumps(asdict(recipe)))
    listening = run.get("listening", False)
    deepened = number == 1 and ("layers on top" in run or listening)
    apart = {"stages", "mixture"}
    apart |= {"random_module"} if number < 2 else set()
    apart |= {"deepening"} if number < 2 and not deepened else set()
    apart |= {"listening"} if number < 2 and not listening else set()
    annealing, distillation = run.get("annealing", False), run.get("distillation", False)
    apart |= set() if annealing or distillation else {"annealing"}
    apart |= set() if distillation else {"distillation"}
    if any(then.get(name) != value for name, value in now.items() if name not in apart):
        return False
    if listening or annealing or distillation:
        return True  # its settings and ratios are among what was compared
    ratios = ratios_of(recipe.mixture, 2 if deepened else number)
    own = deepened or then["stages"][str(number)] == now["stages"][str(number)]
    return own and run["sampling ratios"] == ratios


def _stage_row(run: Mapping) -> str:
    number, last = run["stage"], run["last"]
    settings = run["recipe"]["stages"][str(number)]
    rates = ", ".join(f"{part} {rate:g}" for part, rate in settings["learning_rates"].items())
    modules = [name for name in last if name.startswith("loss/module")]
    losses, accuracies = f"{last['loss/backbone']:.3f}", f"{last['accuracy/backbone']:.1%}"
    if modules:
        losses += f", {sum(last[name] for name in modules) / len(modules):.3f}"
        right = [last[name.replace("loss", "accuracy")] for name in modules]
        accuracies += f", {sum(right) / len(right):.1%}"
    tokens = settings["rows"] * run["recipe"]["row_tokens"]
    name = STAGES[number].name
    if added := run.get("layers on top"):
        name += f", with {added} more layers on top"
    if run.get("listening"):
        name += ", then recognition"
    if run.get("annealing"):
        name += ", then annealing"
        if kept := run["recipe"]["annealing"]["kept"]:
            name += f", of which the model keeps {1 - kept:.0%} and of the weights before it {kept:.0%}"
    if run.get("distillation"):
        name += ", then the chain alone, on the backbone's states too"
    return (
        f"| {number} {name} | {settings['steps']} | {tokens} | {rates} | {run['seconds'] / 60:.0f} "
        f"| {run['machine']} | {losses} | {accuracies} |"
    )


def _score_row(row: Mapping) -> str:
    ends = ["∞" if row[end] is None else f"{row[end]:.4g}" for end in ("low", "high")]
    return (
        f"| {row['language']} | {row['task']} | {row['mode']} | {row['measure']} "
        f"| {row['value']:.4g} [{ends[0]}, {ends[1]}] | {row['n']} |"
    )
