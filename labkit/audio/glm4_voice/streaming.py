"""Streaming decode as the lab does it: no frame lost, no frame spoken twice, no tail swallowed.

The flow attends to a whole window of frames, so a stream cannot equal whole decoding: what is already spoken was made
before the rest was known. It comes as near as that allows:

- A chunk's frames are made once. What was spoken before enters as the flow's prompt, and only the last frames of a
  chunk, its *overlap*, are made again when more is known, and faded over with weights that sum to one.
- Noise belongs to a frame, not to a chunk: a frame starts from the same noise in a stream as in whole decoding.
- Frames are counted from the beginning (441 for every 64 tokens), so that chunks add up to the whole.
- The window is bounded, whatever the length of the speech, and begins at a block of the encoder.
- The vocoder is exact: it gets the frames to either side that a sample depends on, its harmonics run on, and its noise
  belongs to a frame too. Fed settled frames only, its stream equals one vocoding of them all, up to rounding. With an
  overlap the frames that are waiting there serve as its view of the future, so that nothing waits twice.

A stream with one chunk is whole decoding.
"""

from __future__ import annotations

import math

import torch

from labkit.audio.glm4_voice.flow import Flow, frame_count
from labkit.audio.glm4_voice.hift import HiFT

OVERLAP_FRAMES = 34  # five tokens, as in the public decoder
CONTEXT_TOKENS = 160  # 12.8 seconds


class FlowStream:
    """Audio tokens in, settled mel frames out, each exactly once.

    Args:
        flow: whose frames they are.
        generator: of the starting noise; draws on the CPU, so that a seed means the same on every device.
        overlap: frames at the end of each chunk that are made again with the next.
        context: tokens of the past that the flow sees, at least; the window is cut at whole blocks.

    Attributes:
        waiting: `(1, mel_bins, frames)` the overlap as it is now.
    """

    def __init__(
        self,
        flow: Flow,
        generator: torch.Generator,
        *,
        overlap: int = OVERLAP_FRAMES,
        context: int = CONTEXT_TOKENS,
    ) -> None:
        if overlap < 0 or context < 0:
            raise ValueError(f"overlap and context must not be negative, got {overlap} and {context}")
        self._flow, self._generator = flow, generator
        self._overlap, self._context = overlap, context
        weight = flow.encoder_proj.weight
        self._tokens = torch.zeros(1, 0, dtype=torch.long, device=weight.device)  # of the window
        self._first = 0  # which token the window begins with
        self._settled = weight.new_zeros(1, flow.config.mel_bins, 0)  # the window's frames so far
        self._noise = self._settled
        self.waiting = self._settled

    def push(self, tokens: torch.Tensor, steps: int) -> torch.Tensor:
        """Frames `(1, mel_bins, frames)` that `tokens` `(tokens,)` settle, in `steps` Euler steps."""
        if not len(tokens):
            return self._settled[..., :0]
        self._tokens = torch.cat([self._tokens, tokens[None].to(self._tokens)], dim=1)
        begun = frame_count(self._first)
        frames = frame_count(self._first + self._tokens.shape[1]) - begun
        fresh = frame_noise(frames - self._noise.shape[-1], self._flow.config.mel_bins, self._generator)
        self._noise = torch.cat([self._noise, fresh.to(self._noise)], dim=-1)
        prompt = self._settled if self._settled.shape[-1] else None
        made = self._flow(self._tokens, self._noise, steps, prompt=prompt)
        made = faded(self.waiting, made)
        ready = max(0, made.shape[-1] - self._overlap)
        settled, self.waiting = made[..., :ready], made[..., ready:]
        self._settled = torch.cat([self._settled, settled], dim=-1)
        self._forget()
        return settled

    def finish(self) -> torch.Tensor:
        """The frames that waited: nothing more will be known of them."""
        settled, self.waiting = self.waiting, self.waiting[..., :0]
        return settled

    def _forget(self) -> None:
        """Cut the window at a block of the encoder, where it holds more than the context."""
        block = self._flow.config.encoder.block
        spare = (self._tokens.shape[1] - self._context) // block * block
        if spare <= 0:
            return
        frames = frame_count(self._first + spare) - frame_count(self._first)
        if frames > self._settled.shape[-1]:  # the window holds hardly more than the overlap
            return
        self._first += spare
        self._tokens = self._tokens[:, spare:]
        self._settled, self._noise = self._settled[..., frames:], self._noise[..., frames:]


def faded(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """`new` with its first frames faded over from `old`, by squared sine and cosine, which sum to one."""
    frames = old.shape[-1]
    if not frames:
        return new
    places = torch.arange(1, frames + 1, device=new.device).to(new) / (frames + 1)
    rising = torch.sin(places * math.pi / 2) ** 2
    return torch.cat([new[..., :frames] * rising + old * (1 - rising), new[..., frames:]], dim=-1)


def frame_noise(frames: int, rows: int, generator: torch.Generator) -> torch.Tensor:
    """Standard normal noise `(1, rows, frames)`, drawn frame by frame.

    So a frame's noise depends on its place in the stream, and never on how the stream was cut into chunks.
    """
    drawn = [torch.randn(rows, generator=generator) for _ in range(frames)]
    return torch.stack(drawn, dim=-1)[None] if drawn else torch.zeros(1, rows, 0)


class VocoderStream:
    """Mel frames in, samples out, each exactly once.

    Args:
        hift: the vocoder.
        generator: of the harmonics' phases and of the source's noise; draws on the CPU.
    """

    def __init__(self, hift: HiFT, generator: torch.Generator) -> None:
        self._hift, self._generator = hift, generator
        config, weight = hift.config, hift.m_source.l_linear.weight
        self._phase = start_phase(config.harmonics, generator).to(weight)
        self._mel = weight.new_zeros(1, config.mel_bins, 0)  # spoken frames that the next ones depend on
        self._source = weight.new_zeros(1, 1, 0)  # theirs
        self._pending = self._mel  # settled frames whose future is not known yet
        # Of the frames that were drawn for, not spoken.
        self._noise = weight.new_zeros(1, config.harmonics + 1, 0)
        self._cycles: torch.Tensor | None = None  # that each harmonic has run

    def push(
        self, settled: torch.Tensor, ahead: torch.Tensor | None = None, *, final: bool = False
    ) -> torch.Tensor:
        """Samples `(samples,)` of the frames that can be spoken now.

        Args:
            settled: `(1, mel_bins, frames)`, to be spoken.
            ahead: `(1, mel_bins, frames)`, a guess at what comes behind, to look at only.
            final: nothing comes behind.
        """
        hift, hop = self._hift, self._hift.config.samples_per_frame
        ahead = settled[..., :0] if ahead is None or final else ahead
        self._pending = torch.cat([self._pending, settled], dim=-1)
        coming = torch.cat([self._pending, ahead], dim=-1)
        frames = self._pending.shape[-1]
        ready = frames if final else min(frames, max(0, coming.shape[-1] - hift.config.look_ahead))
        if not ready:
            return self._source.new_zeros(0)
        past = self._mel.shape[-1]
        mel = torch.cat([self._mel, coming], dim=-1)
        self._draw(coming.shape[-1] * hop)
        pitch = hift.pitch(mel)[:, past:]
        fresh, cycles = hift.source(
            pitch, self._phase, self._noise[..., : coming.shape[-1] * hop], self._cycles
        )
        source = torch.cat([self._source, fresh], dim=-1)
        sound = hift(mel, source)[0, past * hop : (past + ready) * hop]
        keep = max(0, past + ready - hift.config.reach)
        self._mel, self._source = (
            mel[..., keep : past + ready],
            source[..., keep * hop : (past + ready) * hop],
        )
        self._pending, self._cycles = self._pending[..., ready:], cycles[..., ready - 1 : ready]
        self._noise = self._noise[..., ready * hop :]
        return sound

    def _draw(self, samples: int) -> None:
        hop, rows = self._hift.config.samples_per_frame, self._noise.shape[1]
        missing = (samples - self._noise.shape[-1]) // hop
        drawn = [torch.randn(1, rows, hop, generator=self._generator).to(self._noise) for _ in range(missing)]
        self._noise = torch.cat([self._noise, *drawn], dim=-1)


def start_phase(harmonics: int, generator: torch.Generator) -> torch.Tensor:
    """Where each harmonic starts, in radians: `(1, harmonics + 1, 1)`, the fundamental at zero, the others anywhere."""
    phase = (2 * torch.rand(1, harmonics + 1, 1, generator=generator) - 1) * math.pi
    phase[:, 0] = 0
    return phase
