"""Windowed-sinc resampling with the release's kernel, so that its tokenizers hear the very samples they learned from.

Hann window, six zero crossings, cut off at 99% of the lower rate's half. Elsewhere the lab resamples with soxr, which
is steeper; the difference is inaudible, but it moves log-mels by enough to change a token.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch.nn import functional

ZERO_CROSSINGS = 6
ROLLOFF = 0.99
LARGEST_KERNEL = 2**25  # coefficients; rates that share no factor would need hundreds of millions


def resample(samples: torch.Tensor, source_rate: int, target_rate: int) -> torch.Tensor:
    """`(channels, samples)` at `source_rate` Hz to `(channels, ceil(samples * target_rate / source_rate))`.

    Raises:
        ValueError: the rates share so small a factor that the kernel would not fit into memory.
    """
    if source_rate == target_rate:
        return samples
    common = math.gcd(int(source_rate), int(target_rate))
    source, target = int(source_rate) // common, int(target_rate) // common
    taps, width = _kernel(source, target)
    padded = functional.pad(samples, (width, width + source))
    phases = functional.conv1d(padded[:, None], taps.to(samples)[:, None], stride=source)
    wanted = -(-target * samples.shape[-1] // source)
    return phases.transpose(1, 2).reshape(samples.shape[0], -1)[:, :wanted]


@cache
def _kernel(source: int, target: int) -> tuple[torch.Tensor, int]:
    """One row of coefficients for each of `target` output phases, and how far each reaches to the left."""
    cutoff = min(source, target) * ROLLOFF
    width = math.ceil(ZERO_CROSSINGS * source / cutoff)
    if target * (2 * width + source) > LARGEST_KERNEL:
        raise ValueError(
            f"rates in the ratio {source}:{target} have no common factor to speak of; "
            "resample the audio to a usual rate first"
        )
    inputs = torch.arange(-width, width + source, dtype=torch.float64) / source
    outputs = torch.arange(target, dtype=torch.float64) / target
    crossings = ((inputs - outputs[:, None]) * cutoff).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
    window = torch.cos(crossings * math.pi / ZERO_CROSSINGS / 2) ** 2
    taps = torch.sinc(crossings) * window * cutoff / source
    return taps.float(), width
