"""What SenseVoice's encoder reads: Kaldi's log filter banks, seven frames in a row every 60 ms, normalised.

The front end of FunASR (Gao et al. 2023, arXiv:2305.11013), whose filter banks are Kaldi's: 25 ms windows every 10 ms,
80 mel bands from 20 Hz to 8 kHz.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import torch

from labkit.audio.io import AudioInputError, as_channels
from labkit.audio.resample import resample
from labkit.checkpoints import CheckpointError

SAMPLE_RATE = 16000
WINDOW, HOP, FFT = 400, 160, 512  # samples
BANDS, LOWEST, HIGHEST = 80, 20.0, 8000.0  # Hz
PRE_EMPHASIS = 0.97
QUIETEST = torch.finfo(torch.float32).eps
FULL_SCALE = 32768.0  # Kaldi counts in 16-bit steps
STACKED, STRIDE = 7, 6  # frames of a row, and from row to row
WIDTH = BANDS * STACKED
STATISTICS = "am.mvn"


def rows_of(waveform: object, sample_rate: int, normalize: Normalization) -> torch.Tensor:
    """Normalised rows `(rows, 560)` of speech at any sample rate: channels averaged, then resampled, as released.

    Raises:
        AudioInputError: no audio, or less than 25 ms of it.
    """
    try:
        samples = resample(as_channels(waveform, sample_rate).mean(0)[None], int(sample_rate), SAMPLE_RATE)[0]
    except AudioInputError:
        raise
    except ValueError as error:
        raise AudioInputError(str(error)) from error
    if len(samples) < WINDOW:
        raise AudioInputError(
            f"{len(samples)} samples at 16 kHz are less than one window of {WINDOW}; speak longer"
        )
    return normalize(stack_frames(filter_banks(samples)))


def filter_banks(
    samples: torch.Tensor, dither: float = 0.0, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Log mel energies `(frames, 80)` of 16 kHz samples `(samples,)` in [-1, 1]; at least 25 ms of them.

    The public front end adds noise of one 16-bit step (`dither=1`), a new one at every call; here there is none unless
    asked for.
    """
    frames = (samples * FULL_SCALE).unfold(0, WINDOW, HOP)
    if dither:
        frames = frames + dither * torch.randn(frames.shape, generator=generator)
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    window = torch.hamming_window(WINDOW, periodic=False)
    power = torch.fft.rfft((frames - PRE_EMPHASIS * before) * window, n=FFT).abs() ** 2
    return (power[:, :-1] @ _triangles()).clamp(min=QUIETEST).log()


@cache
def _triangles() -> torch.Tensor:
    """Kaldi's mel filters `(256, 80)`: triangles over mel, not over Hz."""

    def mel(frequency: float) -> float:
        return 1127.0 * math.log(1.0 + frequency / 700.0)

    bins = 1127.0 * (1.0 + torch.arange(FFT // 2) * SAMPLE_RATE / FFT / 700.0).log()
    edges = torch.linspace(mel(LOWEST), mel(HIGHEST), BANDS + 2, dtype=torch.float64).float()
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - left) / (center - left)
    falling = (right - bins[:, None]) / (right - center)
    return torch.minimum(rising, falling).clamp(min=0.0)


def stack_frames(frames: torch.Tensor) -> torch.Tensor:
    """Low frame rate: `(frames, bands)` to `(ceil(frames / 6), 7 * bands)`, each row a frame and three on either side.

    Beyond the ends the first and the last frame are repeated.
    """
    middles = torch.arange(0, len(frames), STRIDE)
    reach = STACKED // 2
    places = (middles[:, None] + torch.arange(-reach, reach + 1)).clamp(0, len(frames) - 1)
    return frames[places].flatten(1)


@dataclass(frozen=True)
class Normalization:
    """Mean and variance of the rows of the training speech, as `(row + shift) * scale`, both `(560,)`."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Normalised rows `(rows, 560)`."""
        return (rows + self.shift) * self.scale

    @classmethod
    def read(cls, path: Path) -> Self:
        """From Kaldi's text form, `am.mvn`.

        Raises:
            FileNotFoundError: there is no such file.
            CheckpointError: it does not hold two vectors of 560 numbers.
        """
        if not path.is_file():
            raise FileNotFoundError(
                f"no {path.name} in {path.parent}; it lies beside SenseVoiceSmall on the hub"
            )
        try:
            text = path.read_text(encoding="utf-8")
            vectors = [_vector(text, tag) for tag in ("AddShift", "Rescale")]
        except (UnicodeDecodeError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is no Kaldi normalisation: {error}") from error
        sizes = [len(vector) for vector in vectors]
        if sizes != [WIDTH, WIDTH]:
            raise CheckpointError(f"{path} has vectors of {sizes} numbers, expected {WIDTH}")
        return cls(*vectors)

    def write(self, path: Path) -> None:
        """To Kaldi's text form."""
        parts = [
            f"<{tag}> {WIDTH} {WIDTH}\n<LearnRateCoef> 0 [ {' '.join(map(str, vector.tolist()))} ]"
            for tag, vector in (("AddShift", self.shift), ("Rescale", self.scale))
        ]
        text = "\n".join(["<Nnet>", f"<Splice> {WIDTH} {WIDTH}", "[ 0 ]", *parts, "</Nnet>"])
        path.write_text(text + "\n", encoding="utf-8")


def _vector(text: str, tag: str) -> torch.Tensor:
    """The numbers in brackets after a tag and its learning rate."""
    numbers = re.search(rf"<{tag}>[^\[]*<LearnRateCoef>[^\[]*\[([^\]]*)\]", text)
    return torch.tensor([float(number) for number in numbers[1].split()])
