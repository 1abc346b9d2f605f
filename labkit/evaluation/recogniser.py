"""The phoneme recogniser: the lab's own judge of what was said, in both languages.

A convolutional network over 10 ms log-mel frames with two heads: phonemes by connectionist temporal classification
(CTC; Graves et al., 2006), which needs no times, and a label for every 20 ms frame, which gives times back. It is
trained on original espeak speech alone, never on anything a codec or a model of this lab has made, so what it hears
in their output is somebody else's verdict. It does share espeak's voice and labels with them: see its card.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from labkit.audio.codec import WeightsError
from labkit.audio.config import NetworkConfig
from labkit.audio.features import FrameSettings, log_mel
from labkit.audio.io import as_mono
from labkit.data.phonemes import SILENCE, check_language
from labkit.paths import weights_folder

LISTENING = FrameSettings(window=640, hop=160)
"""The judge's own features: 25 ms-odd windows every 10 ms, not those of the codec."""


@dataclass(frozen=True, kw_only=True)
class RecogniserConfig(NetworkConfig):
    """Shape of a `PhonemeRecogniser`; `symbols` are `language/phoneme`, with `SILENCE` shared and first."""

    symbols: tuple[str, ...]
    width: int = 160
    blocks: int = 6
    kernel: int = 11
    frames: FrameSettings = LISTENING


class ContextBlock(nn.Module):
    """ConvNeXt block that sees both past and future: `(batch, time, channels)`, length kept."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, 3 * channels)
        self.narrow = nn.Linear(3 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.mix(x.transpose(1, 2)).transpose(1, 2))
        return x + self.narrow(functional.gelu(self.widen(y)))


class PhonemeRecogniser(nn.Module):
    """Log-mels `(batch, frames, mel_bins)` every 10 ms to phoneme logits every 20 ms."""

    def __init__(self, config: RecogniserConfig) -> None:
        super().__init__()
        self.config = config
        self.enter = nn.Linear(2 * config.frames.mel_bins, config.width)
        self.blocks = nn.ModuleList(ContextBlock(config.width, config.kernel) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.frame_head = nn.Linear(config.width, len(config.symbols))
        self.ctc_head = nn.Linear(config.width, len(config.symbols))  # SILENCE doubles as CTC's blank

    def forward(self, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of CTC and of the frame labels, both `(batch, frames // 2, symbols)`."""
        batch, frames, bins = mel.shape
        x = self.enter(mel[:, : frames // 2 * 2].reshape(batch, frames // 2, 2 * bins))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.ctc_head(x), self.frame_head(x)


@dataclass(frozen=True)
class Heard:
    """What the judge heard in one utterance.

    Attributes:
        phonemes: the phonemes in order, without silence.
        times: start and end in seconds of each.
        language: that it listened for.
        symbols: what it could have heard, `language/phoneme`, with `SILENCE` first.
        log_probabilities: CTC's, `(time, symbols)` every 20 ms; symbols of the other language are ruled out.
    """

    phonemes: tuple[str, ...]
    times: tuple[tuple[float, float], ...]
    language: str
    symbols: tuple[str, ...] = field(repr=False)
    log_probabilities: torch.Tensor = field(repr=False, compare=False)

    def log_probability(self, phonemes: Sequence[str]) -> float:
        """That exactly `phonemes` were said, summed over all alignments (CTC).

        Raises:
            ValueError: if a phoneme is not of the language.
        """
        index = {symbol: place for place, symbol in enumerate(self.symbols)}
        wanted = [f"{self.language}/{phoneme}" for phoneme in phonemes if phoneme != SILENCE]
        unknown = sorted({each.partition("/")[2] for each in wanted if each not in index})
        if unknown:
            raise ValueError(f"no phonemes of {self.language!r}: {', '.join(unknown)}")
        target = torch.tensor([[index[each] for each in wanted]])
        steps, length = torch.tensor([len(self.log_probabilities)]), torch.tensor([len(wanted)])
        heard = self.log_probabilities[:, None]
        return -float(functional.ctc_loss(heard, target, steps, length, reduction="sum"))


class PhonemeJudge:
    """Listens to speech in a known language: phonemes, and which of several things that could have been said was."""

    def __init__(self, network: PhonemeRecogniser, *, mel_mean: float, mel_scale: float) -> None:
        self.network = network.eval()
        self.mel_mean, self.mel_scale = mel_mean, mel_scale
        self.symbols = network.config.symbols

    @torch.inference_mode()
    def log_probabilities(self, waveform: object, sample_rate: int, language: str) -> torch.Tensor:
        """CTC log-probabilities `(time, symbols)` every 20 ms; symbols of the other language are ruled out."""
        settings = self.network.config.frames
        samples = as_mono(waveform, sample_rate, settings.sample_rate)
        # A little silence around, as all training speech has; and never fewer samples than the network needs.
        quiet = settings.sample_rate // 10
        samples = functional.pad(samples, (quiet, quiet + (-len(samples)) % (2 * settings.hop)))
        mel = (log_mel(samples[None], settings) - self.mel_mean) / self.mel_scale
        logits, _ = self.network(mel)
        return (logits[0] + self._other_languages(language)).log_softmax(dim=-1)

    def hear(self, waveform: object, sample_rate: int, language: str) -> Heard:
        """The most likely phonemes, greedily: the best symbol of each step, repeats merged, blanks dropped."""
        heard = self.log_probabilities(waveform, sample_rate, language)
        step = 2 * self.network.config.frames.hop / self.network.config.frames.sample_rate
        phonemes: list[str] = []
        times: list[tuple[float, float]] = []
        previous = 0
        for place, symbol in enumerate(heard.argmax(dim=-1).tolist()):
            end = (place + 1) * step - 0.1
            if symbol and symbol != previous:
                phonemes.append(self.symbols[symbol].partition("/")[2])
                times.append((end - step, end))
            elif symbol:
                times[-1] = (times[-1][0], end)
            previous = symbol
        return Heard(tuple(phonemes), tuple(times), language, self.symbols, heard)

    def _other_languages(self, language: str) -> torch.Tensor:
        check_language(language)
        other = [not (each == SILENCE or each.startswith(f"{language}/")) for each in self.symbols]
        return torch.zeros(len(other)).masked_fill(torch.tensor(other), -torch.inf)

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors` (half precision) and `config.json` into `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.half().contiguous() for name, tensor in self.network.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        config = {
            "network": self.network.config.to_dict(),
            "mel_mean": self.mel_mean,
            "mel_scale": self.mel_scale,
        }
        (folder / "config.json").write_text(
            json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, folder: str | Path | None = None) -> PhonemeJudge:
        """The shipped judge, or one saved in `folder`.

        Raises:
            WeightsError: if a file is missing or does not fit, saying where it comes from.
        """
        folder = weights_folder() / "phoneme-judge" if folder is None else Path(folder)
        for file in ("config.json", "model.safetensors"):
            if not (folder / file).is_file():
                raise WeightsError(
                    f"{folder / file} is missing. The shipped judge comes with the repository (git checkout -- "
                    "labkit/weights); to train one yourself: python -m labkit.evaluation.train_recogniser"
                )
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            network = PhonemeRecogniser(RecogniserConfig.from_dict(config["network"]))
            network.load_state_dict(
                {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
            )
        except (KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise WeightsError(
                f"the files in {folder} are not a phoneme judge of this version: {error}"
            ) from error
        return cls(network, mel_mean=config["mel_mean"], mel_scale=config["mel_scale"])
