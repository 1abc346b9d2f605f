"""Train the toy codec: `python -m labkit.training.train_codec`.

Tokenizer, flow-matching decoder and vocoder, in that order, on varied speech; about an hour on two cores. The decoder
then goes on for a while with speech on a beat beside it, most of that in the tokens with which language models say it.
Every part keeps a checkpoint in the cache folder: a run that was stopped goes on where it was. The vocoder does not
need the other two, so `--part vocoder` may run beside `--part tokenizer`; a last run without `--part` finds all
parts done and writes the codec with its card.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
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
from labkit.data.corpus import Corpus, CorpusSpec, generate
from labkit.data.word_tokens import said_tokens
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
    The `even` fields are of the decoder's last steps: how many, how fast, and on how many utterances, of which two in
    five are varied ones again, one is even speech in its own tokens and two in `labkit.data.word_tokens`.
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
    even_steps: int = 1500
    even_utterances: int = 10_000
    even_learning_rate: float = 7e-4


class CodecTraining:
    """The trainings of one recipe, with a checkpoint folder each below `folder`.

    They run on the GPU where there is one.

    Args:
        corpus: varied speech.
        even: speech on a beat, for the decoder's last steps.
    """

    def __init__(self, recipe: CodecRecipe, corpus: Corpus, even: Corpus, folder: Path) -> None:
        self.recipe, self.corpus, self.even, self.folder = recipe, corpus, even, folder
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.settings = FrameSettings()
        self.indices = self._drawn(corpus)[: recipe.utterances]
        if len(self.indices) < 2:
            raise ValueError("the codec needs at least two training utterances; generate a larger corpus")
        mel = []
        for index in tqdm(self.indices, desc="log-mels", unit="utterance"):
            mel.append(log_mel(self._waveform(index)[None], self.settings)[0])
        self.mel = [(each - recipe.mel_mean) / recipe.mel_scale for each in mel]

    def tokenizer(self) -> SpeechTokenizer:
        """Train, or take from its checkpoint, the tokenizer."""
        frame_seconds = self.settings.hop / self.settings.sample_rate
        labels = [
            frame_labels(self.corpus[index], len(mel), frame_seconds)
            for index, mel in zip(self.indices, self.mel, strict=True)
        ]
        config = TokenizerConfig(phonemes=len(phoneme_symbols()), codebook_size=self.recipe.codebook_size)
        tokenizer = self._new(lambda: SpeechTokenizer(config))
        objective = TokenizerObjective(
            tokenizer, Frames(self.mel, labels), phoneme_weight=self.recipe.phoneme_weight
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
        chosen = self.indices[: self.recipe.vocoder_utterances]
        waveforms = [self._waveform(index) for index in chosen]
        bar = tqdm(waveforms, desc="pitch", unit="utterance")
        pitch = [pitch_track(waveform.numpy(), self.settings) for waveform in bar]
        config = VocoderConfig(mel_mean=self.recipe.mel_mean, mel_scale=self.recipe.mel_scale)
        vocoder = self._new(lambda: HarmonicVocoder(config))
        objective = VocoderObjective(vocoder, waveforms, self.mel[: len(chosen)], pitch)
        self._fit(vocoder, objective, "vocoder", self.recipe.vocoder_steps)
        return vocoder

    def codec(self) -> ToyCodec:
        """The whole codec; parts that are already trained come from their checkpoints."""
        tokenizer = self.tokenizer()
        codec = ToyCodec(
            tokenizer,
            self.flow(tokenizer),
            self.vocoder(),
            mel_mean=self.recipe.mel_mean,
            mel_scale=self.recipe.mel_scale,
            phonemes=phoneme_symbols(),
        )
        if self.recipe.even_steps:
            self._learn_to_say_words(codec)
        return codec

    def _learn_to_say_words(self, codec: ToyCodec) -> None:
        """The decoder's last steps, without which joints between words said alone cost it some phonemes."""
        recipe = self.recipe
        again = self.indices[: 2 * recipe.even_utterances // 5]
        even = self._drawn(self.even)[: recipe.even_utterances - len(again)]
        chosen = [(self.corpus[index], False) for index in again]
        chosen += [(self.even[index], place % 3 != 0) for place, index in enumerate(even)]
        mel, tokens = [], []
        for utterance, said in tqdm(chosen, desc="audio tokens", unit="utterance"):
            mel.append(codec.mel(utterance.waveform, utterance.sample_rate).clone())
            own = (
                said_tokens(codec, utterance)
                if said
                else codec.encode(utterance.waveform, utterance.sample_rate)
            )
            tokens.append(torch.as_tensor(own).long().clone())
        objective = FlowObjective(codec.flow, mel, tokens)
        self._fit(codec.flow, objective, "flow-even", recipe.even_steps, recipe.even_learning_rate)

    def _drawn(self, corpus: Corpus) -> list[int]:
        """Its training utterances in an order drawn once: it comes kind by kind, and a part has to be of all."""
        everything = corpus.indices(split="train")
        order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(self.recipe.seed))
        return [everything[place] for place in order.tolist()]

    def _waveform(self, index: int) -> torch.Tensor:
        samples = torch.from_numpy(self.corpus[index].waveform)
        return nn.functional.pad(samples, (0, -len(samples) % self.settings.samples_per_token))

    def _new(self, make: Callable[[], Network]) -> Network:
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            return make()

    def _fit(
        self, network: nn.Module, objective: Objective, part: str, steps: int, rate: float | None = None
    ) -> None:
        rate = rate or self.recipe.learning_rate
        settings = FitSettings(steps=steps, learning_rate=rate, seed=self.recipe.seed)
        network.to(self.device)
        fit(network, objective, settings, folder=self.folder / part, name=part)
        network.cpu()


def main() -> None:
    """Train the codec that ships with the lab, or another."""
    parser = argparse.ArgumentParser(prog="python -m labkit.training.train_codec", description=__doc__)
    parser.add_argument("--sentences", type=int, default=CorpusSpec.sentences, help="training sentences")
    parser.add_argument("--seed", type=int, default=0)
    counted = (*PARTS, "even")
    for part in counted:
        default = getattr(CodecRecipe, f"{part}_steps")
        parser.add_argument(f"--{part}-steps", type=int, default=default)
    parser.add_argument("--part", choices=PARTS, help="train only this part, then stop")
    parser.add_argument("--out", type=Path, default=weights_folder() / "toy-codec")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    steps = {f"{part}_steps": getattr(arguments, f"{part}_steps") for part in counted}
    recipe = CodecRecipe(seed=arguments.seed, **steps)
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
    """The trainings of a recipe, with their checkpoints in the cache folder.

    Args:
        spec: of what is said; in which prosody does not matter, since it is said in both.
    """
    varied, even = (generate(replace(spec, prosody=prosody)) for prosody in ("varied", "even"))
    name = digest([asdict(recipe), varied.folder.name, even.folder.name])
    return CodecTraining(recipe, varied, even, cache_folder("training", "toy-codec", name))


def save_codec(training: CodecTraining, folder: Path) -> Path:
    """Train what is not trained yet, and write the codec and its recipe to a folder."""
    training.codec().save(folder)
    recipe = json.dumps(asdict(training.recipe), indent=2)
    (folder / "recipe.json").write_text(recipe + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    main()
