"""From a recipe to models: stage after stage, each from the checkpoint of the one before, each in the released layout.

pipeline = Pipeline(recipe("toy"))
pipeline.run(range(5))                      # stages 0 to 4; goes on where an earlier run was stopped
pipeline.folder / "stage-4" / "model"       # config.json, model.safetensors, the tokenizer, a card
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
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
from labkit.training.history import Listener
from labkit.training.loop import train
from labkit.training.processes import processes
from labkit.training.recipes import Recipe
from labkit.training.stages import STAGES
from labkit.training.stream import RowStream
from labkit.training.train_codec import codec_training, save_codec
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
        self.recipe, self.pretrained = recipe, pretrained
        if codec is None and recipe.codec is not None:
            codec = train_codec(recipe)
        self.codec = ToyCodec.load(codec)
        # Stages, what they draw and how they begin name the stages' own folders.
        own = ("stages", "mixture", "deepening", "random_module")
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
        model = None
        for number in stages:
            for folder in self.folders(number):
                model = folder / "model"
                if not (model / "model.safetensors").exists():
                    self._train(number, folder, listeners)
                    processes().wait_for_everyone()  # the main process is still writing the model
        if model is None:
            raise ValueError("no stage to train; give at least one of 0 to 4")
        return model

    def model_folder(self, number: int) -> Path:
        """Where the model of a stage lies once it is trained."""
        return self.folders(number)[-1] / "model"

    def folders(self, number: int) -> list[Path]:
        """Where the trainings of a stage keep checkpoints, history and model: one, or two where stage 1 deepens."""
        first = self._stage_folder(number)
        deepening = self.recipe.deepening
        if number != 1 or deepening is None:
            return [first]
        return [first, first / f"deeper-{digest(asdict(deepening))}"]

    def data(self, number: int) -> SpeechData:
        """The mixture of a stage, tokenised and ready to be packed."""
        return SpeechData(
            self._samples / "train",
            ratios_of(self.recipe.mixture, number),
            self.tokenizer,
            audio=AudioTokens(self.codec) if number else None,
            said=self._said_tokens if number else None,
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
            if not (folder / "tokenizer_config.json").exists():
                texts = [
                    sentence.text
                    for language in self.recipe.corpus.languages
                    for sentence in text_sentences(language, self.recipe.texts.texts)
                ]
                corpus = generate(self.recipe.corpus)
                texts += [corpus[index].text for index in corpus.indices(split="train")]
                made = train_toy_tokenizer(texts, self.codec.size, self.recipe.text_vocabulary)
                made.save_pretrained(folder)
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
        return self.folder / f"stage-{number}-{digest(past)}"

    def _start(self, number: int) -> SpeechLM:
        """The model that a stage starts from, in float32."""
        attention = _attention()
        if number == 0 or (number == 1 and not self.pretrained):
            vocabulary = Vocabulary.from_tokenizer(self.tokenizer)
            layers = self.recipe.layers
            changed = {} if layers is None else {"num_hidden_layers": layers}
            config = size_config(self.recipe.size, vocabulary.padded_size, **changed)
            generator = torch.Generator().manual_seed(self.recipe.seed)
            model = SpeechLM.from_config(config, generator=generator, attention=attention)
            return self._with_audio_tokens(model) if number else model
        before = self.model_folder(number - 1)
        if not before.is_dir():
            raise FileNotFoundError(
                f"stage {number} starts from stage {number - 1}, but there is no model at {before}; train that first"
            )
        model = load_speech_lm(before, attention=attention, dtype=torch.float32, tell=None)
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

    def _deepened(self, folder: Path) -> SpeechLM:
        """The model at the beginning of the deeper half of stage 1, in float32."""
        model = load_speech_lm(folder, attention=_attention(), dtype=torch.float32, tell=None)
        return grow_backbone(model, self.recipe.deepening.layers)

    def _train(self, number: int, folder: Path, listeners: Sequence[Listener]) -> None:
        deepening = self.recipe.deepening if folder != self._stage_folder(number) else None
        mixture = 2 if deepening else number
        with processes().main_process_first():  # which tokenises the audio for all
            data = self.data(mixture)
        if deepening:
            model = self._deepened(self._stage_folder(number) / "model")
            stage, settings = replace(STAGES[number], top=deepening.layers), deepening.settings
        else:
            model, stage, settings = self._start(number), STAGES[number], self.recipe.stages[number]
        main = processes().is_main_process
        if main:
            announce(number, model, settings.steps * settings.rows * self.recipe.row_tokens, print)
        history = train(model, stage, RowStream(data.rows), settings, folder=folder, listeners=listeners)
        if not main:
            return
        save_speech_lm(model, folder / "partial")
        self.tokenizer.save_pretrained(folder / "partial")
        run = {
            "stage": number,
            "layers on top": deepening.layers if deepening else 0,
            "recipe": asdict(replace(self.recipe, mixture=())) | {"stages": {number: asdict(settings)}},
            "sampling ratios": ratios_of(self.recipe.mixture, mixture),
            "text pre-training": self.pretrained,
            "seconds": round(history[-1]["seconds"], 1),
            "machine": machine(),
            "data": asdict(data.report),
            "last": history[-1],
        }
        (folder / "partial" / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        (folder / "partial").replace(folder / "model")


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
