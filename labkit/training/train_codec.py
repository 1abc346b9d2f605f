"""Train the toy codec: `python -m labkit.training.train_codec`.

Tokenizer, flow-matching decoder and vocoder, in that order, on the toy speech corpus; about an hour on two cores.
Every part keeps a checkpoint in the cache folder: a run that was stopped goes on where it was. The vocoder does not
need the other two, so `--part vocoder` may run beside `--part tokenizer`; a last run without `--part` finds all
parts done and writes the codec with its card.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from tqdm.auto import tqdm

from labkit.audio.features import FrameSettings, log_mel
from labkit.audio.flow import FlowConfig, FlowDecoder
from labkit.audio.tokenizer import SpeechTokenizer, TokenizerConfig
from labkit.audio.toy import ToyCodec
from labkit.audio.vocoder import HarmonicVocoder, VocoderConfig
from labkit.data.corpus import Corpus, CorpusSpec, Utterance, generate
from labkit.data.prosody import PROSODIES
from labkit.paths import cache_folder, digest, weights_folder
from labkit.training.codec import FlowObjective, Frames, TokenizerObjective, VocoderObjective
from labkit.training.fit import FitSettings, fit
from labkit.training.frames import frame_labels, phoneme_symbols, pitch_track

PARTS = ("tokenizer", "flow", "vocoder")

Network = TypeVar("Network", bound=nn.Module)
Objective = Callable[[int, torch.Generator], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class CodecRecipe:
    """What decides the outcome beside what is said. Its defaults are those of the codec that ships.

    `mel_mean` and `mel_scale` normalise the log-mels; they were measured once, on 2,000 utterances of varied speech.
    The weights are those of `labkit.training.codec.TokenizerObjective`, the kernels the tokenizer's. `utterances` are
    shared out among the prosodies (`labkit.data.prosody`).
    """

    seed: int = 0
    mel_mean: float = -5.6006
    mel_scale: float = 2.6166
    utterances: int = 8000
    codebook_size: int = 4096
    tokenizer_steps: int = 7000
    flow_steps: int = 4000
    vocoder_steps: int = 2500
    vocoder_utterances: int = 1200
    learning_rate: float = 2e-3
    phoneme_weight: float = 3.0
    mel_weight: float = 1.0
    commitment_weight: float = 1.0
    token_kernels: tuple[int, ...] = TokenizerConfig.token_kernels
    prosodies: tuple[str, ...] = ("varied",)


RECIPES = {
    "shipped": CodecRecipe(),
    "content": CodecRecipe(
        codebook_size=1024,
        tokenizer_steps=6000,
        mel_weight=0.1,
        commitment_weight=5.0,
        token_kernels=(1,),
        prosodies=PROSODIES,
    ),
}
"""By name. In `content` the tokens are of what is said, more than of how: fewer of them, hardly trained on the mel, and
each mostly of its own 80 ms, for language models that are to predict them."""


class CodecTraining:
    """The three trainings of one recipe, with a checkpoint folder each below `folder`.

    They run on the GPU where there is one.

    Args:
        corpora: of whose training splits the recipe's utterances are drawn, as many from each.
    """

    def __init__(self, recipe: CodecRecipe, corpora: Sequence[Corpus], folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.settings = FrameSettings()
        generator = torch.Generator().manual_seed(recipe.seed)
        # A corpus comes kind by kind; a part of it has to be drawn from all of them.
        drawn = [_shuffled(corpus.indices(split="train"), generator) for corpus in corpora]
        mixed = itertools.chain.from_iterable(
            itertools.zip_longest(
                *([(corpus, i) for i in own] for corpus, own in zip(corpora, drawn, strict=True))
            )
        )
        self.chosen = [each for each in mixed if each is not None][: recipe.utterances]
        if len(self.chosen) < 2:
            raise ValueError("the codec needs at least two training utterances; generate a larger corpus")
        mel = []
        for utterance in tqdm(self._utterances(), desc="log-mels", unit="utterance", total=len(self.chosen)):
            mel.append(log_mel(self._waveform(utterance)[None], self.settings)[0])
        self.mel = [(each - recipe.mel_mean) / recipe.mel_scale for each in mel]

    def tokenizer(self) -> SpeechTokenizer:
        """Train, or take from its checkpoint, the tokenizer."""
        frame_seconds = self.settings.hop / self.settings.sample_rate
        labels = [
            frame_labels(utterance, len(mel), frame_seconds)
            for utterance, mel in zip(self._utterances(), self.mel, strict=True)
        ]
        config = TokenizerConfig(
            phonemes=len(phoneme_symbols()),
            codebook_size=self.recipe.codebook_size,
            token_kernels=self.recipe.token_kernels,
        )
        tokenizer = self._new(lambda: SpeechTokenizer(config))
        objective = TokenizerObjective(
            tokenizer,
            Frames(self.mel, labels),
            phoneme_weight=self.recipe.phoneme_weight,
            mel_weight=self.recipe.mel_weight,
            commitment_weight=self.recipe.commitment_weight,
        )
        self._fit(tokenizer, objective, "tokenizer", self.recipe.tokenizer_steps)
        # Tokens must come from the weights that ship, and those are half precision.
        for tensor in (*tokenizer.parameters(), *tokenizer.buffers()):
            tensor.data = tensor.data.half().float()
        return tokenizer

    def flow(self, tokenizer: SpeechTokenizer) -> FlowDecoder:
        """Train, or take from its checkpoint, the flow-matching decoder on the tokens of `tokenizer`."""
        with torch.inference_mode():
            bar = tqdm(self.mel, desc="audio tokens", unit="utterance")
            tokens = [tokenizer.encode(mel[None])[0] for mel in bar]
        tokens = [each.clone() for each in tokens]
        decoder = self._new(lambda: FlowDecoder(FlowConfig(codebook_size=self.recipe.codebook_size)))
        decoder.start_from(tokenizer.codebook.vectors)
        self._fit(decoder, FlowObjective(decoder, self.mel, tokens), "flow", self.recipe.flow_steps)
        return decoder

    def vocoder(self) -> HarmonicVocoder:
        """Train, or take from its checkpoint, the vocoder."""
        chosen = itertools.islice(self._utterances(), self.recipe.vocoder_utterances)
        waveforms = [self._waveform(utterance) for utterance in chosen]
        bar = tqdm(waveforms, desc="pitch", unit="utterance")
        pitch = [pitch_track(waveform.numpy(), self.settings) for waveform in bar]
        config = VocoderConfig(mel_mean=self.recipe.mel_mean, mel_scale=self.recipe.mel_scale)
        vocoder = self._new(lambda: HarmonicVocoder(config))
        objective = VocoderObjective(vocoder, waveforms, self.mel[: len(waveforms)], pitch)
        self._fit(vocoder, objective, "vocoder", self.recipe.vocoder_steps)
        return vocoder

    def codec(self) -> ToyCodec:
        """The whole codec; parts that are already trained come from their checkpoints."""
        tokenizer = self.tokenizer()
        return ToyCodec(
            tokenizer,
            self.flow(tokenizer),
            self.vocoder(),
            mel_mean=self.recipe.mel_mean,
            mel_scale=self.recipe.mel_scale,
            phonemes=phoneme_symbols(),
        )

    def _utterances(self) -> Iterator[Utterance]:
        return (corpus[index] for corpus, index in self.chosen)

    def _waveform(self, utterance: Utterance) -> torch.Tensor:
        samples = torch.from_numpy(utterance.waveform)
        return nn.functional.pad(samples, (0, -len(samples) % self.settings.samples_per_token))

    def _new(self, make: Callable[[], Network]) -> Network:
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            return make()

    def _fit(self, network: nn.Module, objective: Objective, part: str, steps: int) -> None:
        settings = FitSettings(steps=steps, learning_rate=self.recipe.learning_rate, seed=self.recipe.seed)
        network.to(self.device)
        fit(network, objective, settings, folder=self.folder / part, name=part)
        network.cpu()


def main() -> None:
    """Train the codec that ships with the lab, or another."""
    parser = argparse.ArgumentParser(prog="python -m labkit.training.train_codec", description=__doc__)
    parser.add_argument("--sentences", type=int, default=CorpusSpec.sentences, help="training sentences")
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="shipped")
    parser.add_argument("--seed", type=int, default=0)
    for part in PARTS:
        parser.add_argument(f"--{part}-steps", type=int, help="the recipe's unless given")
    parser.add_argument("--part", choices=PARTS, help="train only this part, then stop")
    parser.add_argument("--out", type=Path, default=weights_folder() / "toy-codec")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = [f"{part}_steps" for part in PARTS]
    steps = {name: given for name in names if (given := getattr(arguments, name)) is not None}
    recipe = replace(RECIPES[arguments.recipe], seed=arguments.seed, **steps)
    training = codec_training(recipe, CorpusSpec(sentences=arguments.sentences))
    if arguments.part == "vocoder":
        training.vocoder()
    elif arguments.part == "tokenizer":
        training.tokenizer()
    elif arguments.part == "flow":
        training.flow(training.tokenizer())
    else:
        save_codec(training, arguments.out)
        print(f"wrote {arguments.out}; score it with: python -m labkit.evaluation.codec")


def codec_training(recipe: CodecRecipe, spec: CorpusSpec) -> CodecTraining:
    """The trainings of a recipe on the corpora of a spec, with their checkpoints in the cache folder.

    Args:
        spec: of what is said; the recipe says in which prosodies.
    """
    corpora = [generate(replace(spec, prosody=prosody)) for prosody in recipe.prosodies]
    name = digest([asdict(recipe), [corpus.folder.name for corpus in corpora]])
    return CodecTraining(recipe, corpora, cache_folder("training", "toy-codec", name))


def _shuffled(indices: Sequence[int], generator: torch.Generator) -> list[int]:
    return [indices[place] for place in torch.randperm(len(indices), generator=generator).tolist()]


def save_codec(training: CodecTraining, folder: Path) -> Path:
    """Train what is not trained yet, and write the codec and its recipe to a folder."""
    training.codec().save(folder)
    recipe = json.dumps(asdict(training.recipe), indent=2)
    (folder / "recipe.json").write_text(recipe + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
