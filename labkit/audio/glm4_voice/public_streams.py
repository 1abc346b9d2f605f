"""The two streaming recipes of the public code, faults and all, to be held against its recordings and against ours.

`BlockStream` is GLM-4-Voice's: new tokens continue what was spoken, the last 34 frames are faded over, one frame and
256 samples of source are kept for the vocoder. Its fade sums to 1.08; a frame is lost at each boundary after the first,
since the repeated frame also lengthens the prompt; and what waits in the overlap is never spoken unless the last call
brings tokens.

`PrefixStream` is VITA-Audio's: all tokens so far are decoded anew at each end of a chunk, only the samples beyond
those sent are kept, each piece is scaled by its own peak, and after 512 tokens everything starts from empty. A last
piece of 16 tokens or fewer is never decoded.

Nobody should speak with these; `labkit.audio.glm4_voice.streaming` is the lab's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from labkit.audio.codec import DecodeStream
from labkit.audio.glm4_voice.flow import Flow, frame_count
from labkit.audio.glm4_voice.hift import HiFT
from labkit.audio.glm4_voice.streaming import start_phase

OVERLAP = 34
FADE = np.hamming(2 * OVERLAP)  # whose halves sum to 1.08
REPEATED = 1  # frames
FIRST_SEED = 42  # the public decoder seeds the global generator with it at every call
GROWTH, MOST_STEPS = 2, 10
FEWEST_NEW, RESTART = 16, 512  # tokens
PCM = 32767


class Draws(Protocol):
    """The random numbers of one call, in the order in which they are drawn."""

    def start(self, frames: int) -> torch.Tensor:
        """The flow's starting noise `(1, mel_bins, frames)`."""

    def phase(self) -> torch.Tensor:
        """Where each harmonic starts, `(1, harmonics + 1, 1)`."""

    def noise(self, samples: int) -> torch.Tensor:
        """The source's noise `(1, harmonics + 1, samples)`."""


class SeededDraws:
    """Draws from the public code's seed, the same at every call, from a generator of their own."""

    def __init__(self, flow: Flow, hift: HiFT, seed: int = FIRST_SEED) -> None:
        self._bins, self._harmonics = flow.config.mel_bins, hift.config.harmonics
        self._generator = torch.Generator().manual_seed(seed)

    def start(self, frames: int) -> torch.Tensor:
        return torch.randn(1, self._bins, frames, generator=self._generator)

    def phase(self) -> torch.Tensor:
        return start_phase(self._harmonics, self._generator)

    def noise(self, samples: int) -> torch.Tensor:
        return torch.randn(1, self._harmonics + 1, samples, generator=self._generator)


@dataclass(frozen=True)
class Call:
    """What one call of the decoder made.

    Attributes:
        flow_mel: `(1, mel_bins, frames)` as the flow made it.
        vocoded: `(1, mel_bins, frames)` that the vocoder got.
        wave: `(samples,)` handed out.
        kept_source: `(1, 1, samples)` of the call before, or None.
    """

    flow_mel: torch.Tensor
    vocoded: torch.Tensor
    wave: torch.Tensor
    kept_source: torch.Tensor | None = None


def decode_once(
    flow: Flow, tokens: torch.Tensor, steps: int, draws: Draws, prompt: torch.Tensor | None = None
) -> torch.Tensor:
    """The flow's frames of `tokens` `(1, tokens)` behind those of the prompt, as the public decoder makes them."""
    noise = draws.start(frame_count(tokens.shape[1]))
    return flow(tokens, noise.to(flow.encoder_proj.weight), steps, prompt=prompt)


def vocode(
    hift: HiFT, mel: torch.Tensor, draws: Draws, kept: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Wave `(samples,)` and source `(1, 1, samples)` of mel frames; `kept` source replaces the first samples."""
    samples = mel.shape[-1] * hift.config.samples_per_frame
    source, _ = hift.source(hift.pitch(mel), draws.phase().to(mel), draws.noise(samples).to(mel))
    if kept is not None:
        source = torch.cat([kept, source[..., kept.shape[-1] :]], dim=-1)
    return hift(mel, source)[0], source


class BlockStream(DecodeStream):
    """GLM-4-Voice's streaming.

    Args:
        flow: of the decoder.
        hift: its vocoder.
        steps: Euler steps of every call.
        draws: the random numbers of the next call; as the public seed gives them unless given.
    """

    def __init__(self, flow: Flow, hift: HiFT, steps: int = MOST_STEPS, draws: Sequence[Draws] = ()) -> None:
        self._flow, self._hift, self._steps, self._draws = flow, hift, steps, iter(draws)
        weight = flow.encoder_proj.weight
        self._said = torch.zeros(1, 0, dtype=torch.long, device=weight.device)
        self._returned = weight.new_zeros(1, flow.config.mel_bins, 0)
        self._waiting: torch.Tensor | None = None
        self._last_frame: torch.Tensor | None = None
        self._last_source: torch.Tensor | None = None

    def push(self, tokens: torch.Tensor | Sequence[int]) -> torch.Tensor:
        """A block that is not the last."""
        return self.call(tokens).wave.float().cpu()

    def finish(self) -> torch.Tensor:
        """Nothing: without a last block, what waits in the overlap is never spoken."""
        return torch.zeros(0)

    @torch.inference_mode()
    def call(
        self, tokens: torch.Tensor | Sequence[int], *, final: bool = False, steps: int | None = None
    ) -> Call:
        """One block, in `steps` where they differ from the others'; `final` speaks all of it, and what waited.

        Raises:
            ValueError: a block that is not the last is no longer than the overlap.
        """
        tokens = torch.as_tensor(tokens, dtype=torch.long, device=self._said.device).reshape(1, -1)
        draws = next(self._draws, None) or SeededDraws(self._flow, self._hift)
        together = torch.cat([self._said, tokens], dim=1)
        prompt = self._returned if self._returned.shape[-1] else None
        made = decode_once(self._flow, together, steps or self._steps, draws, prompt)
        mel = made if self._waiting is None else self._fade(made)
        if self._last_frame is not None:
            mel = torch.cat([self._last_frame, mel], dim=-1)
        if not final:
            if mel.shape[-1] <= OVERLAP:
                raise ValueError(f"the public recipe needs blocks of more than {OVERLAP} frames (6 tokens)")
            self._waiting, mel = mel[..., -OVERLAP:], mel[..., :-OVERLAP]
        before = self._last_source
        wave, source = vocode(self._hift, mel, draws, before)
        if not final:
            kept = REPEATED * self._hift.config.samples_per_frame
            self._last_frame, self._last_source = mel[..., -REPEATED:], source[..., -kept:]
            wave = wave[:-kept]
        self._said, self._returned = together, torch.cat([self._returned, mel], dim=-1)
        return Call(made, mel, wave, before)

    def _fade(self, made: torch.Tensor) -> torch.Tensor:
        rising, falling = (
            torch.from_numpy(half).to(made.device) for half in (FADE[:OVERLAP], FADE[OVERLAP:])
        )
        faded = made.clone()
        faded[..., :OVERLAP] = (made[..., :OVERLAP] * rising + self._waiting * falling).to(made)
        return faded


class PrefixStream(DecodeStream):
    """VITA-Audio's streaming; each push is a chunk that the end-of-audio tag has closed.

    Args:
        flow: of the decoder.
        hift: its vocoder.
        draws: the random numbers of the next decoding; as the public seed gives them unless given.
    """

    def __init__(self, flow: Flow, hift: HiFT, draws: Sequence[Draws] = ()) -> None:
        self._flow, self._hift, self._draws = flow, hift, iter(draws)
        self._tokens: list[int] = []
        self._decoded = 0  # tokens when something was last decoded
        self._sent = 0  # samples
        self._steps = 1
        self._begun = False

    def push(self, tokens: torch.Tensor | Sequence[int]) -> torch.Tensor:
        """The new samples as 16-bit PCM scaled back to floats, or none where the chunk is skipped."""
        made = self.call(tokens)
        if made is None:
            return torch.zeros(0)
        return torch.from_numpy(pcm(made.wave).astype(np.float32) / PCM)

    def finish(self) -> torch.Tensor:
        """Nothing: a last chunk that was skipped is never decoded."""
        return torch.zeros(0)

    @torch.inference_mode()
    def call(self, tokens: torch.Tensor | Sequence[int]) -> Call | None:
        """Decode everything so far and hand out what is new of it, or None where the chunk is skipped."""
        self._tokens += torch.as_tensor(tokens).flatten().tolist()
        if self._begun and len(self._tokens) - self._decoded <= FEWEST_NEW:
            return None
        self._begun = True
        draws = next(self._draws, None) or SeededDraws(self._flow, self._hift)
        ids = torch.tensor([self._tokens], device=self._flow.encoder_proj.weight.device)
        mel = decode_once(self._flow, ids, self._steps, draws)
        wave, _ = vocode(self._hift, mel, draws)
        self._steps = min(self._steps + GROWTH, MOST_STEPS)
        new = wave[self._sent :]
        self._sent, self._decoded = len(wave), len(self._tokens)
        if len(self._tokens) > RESTART:
            self._tokens, self._sent, self._decoded = [], 0, 0
        return Call(mel, mel, new)


def pcm(wave: torch.Tensor) -> np.ndarray:
    """A piece as the public demo sends it: divided by its own peak, 16-bit, truncated."""
    samples = wave.float().cpu().numpy()
    peak = np.abs(samples).max(initial=0.0)
    return ((samples / peak if peak > 0 else samples) * PCM).astype(np.int16)
