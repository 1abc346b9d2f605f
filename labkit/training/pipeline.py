"""From a recipe to models: stage after stage, each from the checkpoint of the one before, each in the released layout.

pipeline = Pipeline(recipe("toy"))
pipeline.run(range(5))                      # stages 0 to 4; goes on where an earlier run was stopped
pipeline.model_folder(4)                    # config.json, model.safetensors, the tokenizer, run.json
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from labkit.audio.toy import ToyCodec
from labkit.data.audio_tokens import AudioTokens, codec_fingerprint
from labkit.data.corpus import corpus_key, generate
from labkit.data.export import export
from labkit.data.mixture import ratios_of
from labkit.data.speech_data import SpeechData
from labkit.data.texts import text_sentences
from labkit.data.word_tokens import SaidTokens
from labkit.model import SpeechLM, load_speech_lm, save_speech_lm
from labkit.model.growth import grow_backbone, grow_chain, place_audio_tokens
from labkit.model.sizes import size_config
from labkit.paths import cache_folder, digest
from labkit.training.ablations import restart_layer
from labkit.training.averaging import average_weights
from labkit.training.history import Listener
from labkit.training.loop import train
from labkit.training.processes import processes
from labkit.training.recipes import Recipe
from labkit.training.stages import STAGES, Part
from labkit.training.stream import RowStream
from labkit.training.train_codec import codec_training, save_codec
from labkit.training.trainings import Training
from labkit.vocabulary import Vocabulary, load_tokenizer, train_toy_tokenizer


class Pipeline:
    """One model's way through the stages.

    Args:
        recipe: what to train.
        folder: where everything goes; None for the cache folder.
        codec: a folder of the codec whose tokens the model will speak; None for the recipe's own, which is trained
            first, or else the one that ships.
        pretrained: whether stage 1 starts from stage 0's text model; otherwise from random weights.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path | None = None,
        *,
        codec: Path | None = None,
        pretrained: bool = True,
    ) -> None:
        self.recipe, self.pretrained, self.codec_folder = recipe, pretrained, codec
        if codec is None and recipe.codec is not None:
            codec = train_codec(recipe)
        self.codec = ToyCodec.load(codec)
        # Stages, what they draw and how they begin name the stages' own folders.
        own = ("stages", "mixture", "deepening", "listening", "annealing", "distillation", "random_module")
        shared = (
            {name: value for name, value in asdict(recipe).items() if name not in own},
            corpus_key(recipe.corpus),
            codec_fingerprint(self.codec),
            SaidTokens.KIND,
        )
        name = f"{recipe.name}-{digest(shared)}"
        self.folder = Path(folder) / name if folder else cache_folder("training", "speech-lm", name)

    def run(self, stages: Iterable[int], listeners: Sequence[Listener] = ()) -> Path:
        """Train these stages, in order; returns the last model's folder.

        Raises:
            FileNotFoundError: a stage's predecessor has not been trained.
        """
        numbers = list(stages)
        if not numbers:
            raise ValueError("no stage to train; give at least one of 0 to 4")
        self._check_predecessors(numbers)
        for training in (each for number in numbers for each in self.trainings(number)):
            if not training.is_done:
                self._train(training, listeners)
                processes().wait_for_everyone()  # the main process is still writing the model
        return training.model

    def model_folder(self, number: int) -> Path:
        """Where the model of a stage lies once it is trained."""
        return self.trainings(number)[-1].model

    def trainings(self, number: int) -> list[Training]:
        """The trainings of a stage, in order: stage 1 may deepen, stage 2 listen first, stage 4 anneal and distill."""
        recipe, stage, folder = self.recipe, STAGES[number], self._stage_folder(number)
        ratios, deepening, listening = ratios_of(recipe.mixture, number), recipe.deepening, recipe.listening
        only = Training(folder, stage, recipe.stages[number], ratios, lambda: self._start(number))
        if number == 1 and deepening:
            drawn = ratios_of(recipe.mixture, 2)
            deeper = Training(
                folder / f"deeper-{digest([asdict(deepening), drawn])}",
                replace(stage, top=deepening.layers),
                deepening.settings,
                drawn,
                lambda: grow_backbone(_load(only.model), deepening.layers),
                record={"layers on top": deepening.layers},
            )
            return [only, deeper]
        if number == 2 and listening:
            heard = Training(
                self.trainings(1)[-1].folder / f"listening-{digest(asdict(listening))}",
                STAGES[1],
                listening.settings,
                listening.ratios,
                lambda: _load(self.model_folder(1)),
                record={"listening": True},
            )
            return [heard, only]
        if number == 4:
            return self._fine_tunings(only)
        return [only]

    def _fine_tunings(self, first: Training) -> list[Training]:
        """Stage 4's trainings, each from the one before."""
        trainings, annealing, distillation = [first], self.recipe.annealing, self.recipe.distillation
        if annealing:
            trainings.append(
                Training(
                    first.folder / f"annealing-{digest(asdict(annealing))}",
                    first.stage,
                    annealing.settings,
                    annealing.ratios,
                    partial(_load, first.model),
                    kept=annealing.kept,
                    record={"annealing": True},
                )
            )
        if distillation:
            before = trainings[-1]
            trainings.append(
                Training(
                    before.folder / f"distillation-{digest(asdict(distillation))}",
                    replace(
                        first.stage,
                        trains=(Part.CHAIN,),
                        weight_decay=0.0,
                        state_weight=distillation.state_weight,
                    ),
                    distillation.settings,
                    distillation.ratios,
                    partial(_load, before.model),
                    record={"distillation": True},
                )
            )
        return trainings

    def data(self, ratios: Mapping[str, float], speech: bool = True) -> SpeechData:
        """A mixture, tokenised and ready to be packed.

        Args:
            ratios: sampling ratio by dataset.
            speech: whether any of them holds audio.
        """
        return SpeechData(
            self._samples / "train",
            ratios,
            self.tokenizer,
            audio=AudioTokens(self.codec) if speech else None,
            said=self._said_tokens if speech else None,
            length=self.recipe.row_tokens,
            modes=self.recipe.modes,
            seed=self.recipe.seed,
            progress=processes().is_main_process,
        )

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The text tokenizer with special and audio tokens, trained once on the recipe's texts."""
        folder = self.folder / "tokenizer"
        with processes().main_process_first():
            if not folder.is_dir():
                texts = [
                    sentence.text
                    for language in self.recipe.corpus.languages
                    for sentence in text_sentences(language, self.recipe.texts.texts)
                ]
                corpus = generate(self.recipe.corpus)
                texts += [corpus[index].text for index in corpus.indices(split="train")]
                made = train_toy_tokenizer(texts, self.codec.size, self.recipe.text_vocabulary)
                unfinished = folder.with_name("tokenizer.partial")
                made.save_pretrained(unfinished)
                unfinished.replace(folder)
        return load_tokenizer(folder)

    @cached_property
    def _samples(self) -> Path:
        with processes().main_process_first():
            return export(generate(self.recipe.corpus), None, self.recipe.texts)

    @cached_property
    def _said_tokens(self) -> SaidTokens:
        return SaidTokens(self.codec, generate(self.recipe.corpus))

    def _stage_folder(self, number: int) -> Path:
        """Named after all that decides the stage's outcome, so that a changed recipe never meets an old checkpoint."""
        first = 0 if self.pretrained else min(1, number)
        past = [
            (n, asdict(self.recipe.stages[n]), ratios_of(self.recipe.mixture, n))
            for n in range(first, number + 1)
        ]
        if number >= 2:
            past.append(self.recipe.random_module)
            if self.recipe.deepening:
                past.append(asdict(self.recipe.deepening))
            if self.recipe.listening:
                past.append(asdict(self.recipe.listening))
        return self.folder / f"stage-{number}-{digest(past)}"

    def _is_first(self, number: int) -> bool:
        """Whether no stage comes before this one."""
        return number == 0 or (number == 1 and not self.pretrained)

    def _check_predecessors(self, numbers: Sequence[int]) -> None:
        """Before hours of speaking and tokenising: is there, or will there be, what each stage starts from?"""
        for place, number in enumerate(numbers):
            done = all(training.is_done for training in self.trainings(number))
            if done or self._is_first(number) or number - 1 in numbers[:place]:
                continue
            before = self.trainings(number - 1)[-1]
            if not before.is_done:
                raise FileNotFoundError(
                    f"stage {number} starts from stage {number - 1}, but there is no model at {before.model}; train "
                    "that first"
                )

    def _start(self, number: int) -> SpeechLM:
        """The model that a stage starts from, in float32."""
        if self._is_first(number):
            vocabulary = Vocabulary.from_tokenizer(self.tokenizer)
            layers = self.recipe.layers
            changed = {} if layers is None else {"num_hidden_layers": layers}
            config = size_config(self.recipe.size, vocabulary.padded_size, **changed)
            generator = torch.Generator().manual_seed(self.recipe.seed)
            model = SpeechLM.from_config(config, generator=generator, attention=_attention())
            return self._with_audio_tokens(model) if number else model
        listens = number == 2 and self.recipe.listening
        before = self.trainings(2)[0] if listens else self.trainings(number - 1)[-1]
        model = _load(before.model)
        if number == 2 and self.recipe.random_module:
            # Before training: a run that is resumed finds its module in the checkpoint.
            grow_chain(model, 1, torch.Generator().manual_seed(self.recipe.stages[2].seed))
            restart_layer(model, 0, torch.Generator().manual_seed(self.recipe.stages[2].seed + 1))
        return self._with_audio_tokens(model) if number == 1 else model

    def _with_audio_tokens(self, model: SpeechLM) -> SpeechLM:
        """The model at the beginning of stage 1, the first that hears and speaks."""
        first = Vocabulary.from_tokenizer(self.tokenizer).audio_offset
        generator = torch.Generator().manual_seed(self.recipe.seed)
        return place_audio_tokens(model, first, self.codec.tokenizer.codebook.vectors, generator)

    def _train(self, training: Training, listeners: Sequence[Listener]) -> None:
        number, settings = training.stage.number, training.settings
        with processes().main_process_first():  # which tokenises the audio for all
            data = self.data(training.ratios, speech=number > 0)
        model = training.start()
        main = processes().is_main_process
        if main:
            announce(number, model, settings.steps * settings.rows * self.recipe.row_tokens, print)
        stream = RowStream(data.rows)
        history = train(model, training.stage, stream, settings, folder=training.folder, listeners=listeners)
        if not main:
            return
        if training.kept:
            average_weights(model, training.start().to(model.device), training.kept)
        unfinished = training.folder / "partial"
        save_speech_lm(model, unfinished)
        self.tokenizer.save_pretrained(unfinished)
        run = {
            "stage": number,
            **training.record,
            "recipe": asdict(replace(self.recipe, mixture=())) | {"stages": {number: asdict(settings)}},
            "sampling ratios": training.ratios,
            "text pre-training": self.pretrained,
            "seconds": round(history[-1]["seconds"], 1),
            "machine": machine(),
            "data": asdict(data.report),
            "last": history[-1],
        }
        (unfinished / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(training.model)


def _load(folder: Path) -> SpeechLM:
    return load_speech_lm(folder, attention=_attention(), dtype=torch.float32, tell=None)


def _attention() -> str:
    # On a CPU that multiplies in bf16, and with rows this short, plain matrix products train faster than sdpa's kernel.
    return "sdpa" if torch.cuda.is_available() else "eager"


def machine() -> str:
    """What a training runs on, in words."""
    if torch.cuda.is_available():
        return f"{processes().num_processes} x {torch.cuda.get_device_name()}"
    shares = f"{processes().num_processes} process(es) of {torch.get_num_threads()} thread(s)"
    return f"{shares}, {platform.processor() or platform.machine()}"


def train_codec(recipe: Recipe) -> Path:
    """The folder of a recipe's own codec, trained on its corpus where it is not there yet."""
    name = digest([corpus_key(recipe.corpus), asdict(recipe.codec)])
    folder = cache_folder("training", "codec", f"{recipe.name}-{name}")
    with processes().main_process_first():
        if not (folder / "recipe.json").exists():
            save_codec(codec_training(recipe.codec, recipe.corpus), folder)
    return folder


def announce(number: int, model: SpeechLM, tokens: int, tell: Callable[[str], object]) -> None:
    """One line on how much is about to be trained."""
    size = sum(parameter.numel() for parameter in model.parameters())
    what = f"stage {number} ({STAGES[number].name})"
    tell(f"{what}: {tokens / 1e6:.1f} M tokens, starting from a model of {size / 1e6:.1f} M parameters")
