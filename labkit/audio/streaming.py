"""Streaming decode of the toy codec: tokens come in chunks, sound goes out as soon as it is settled.

Three stages, each with the little memory it needs and nothing decoded twice:

- tokens to frames: the causal stacks keep their context; the flow keeps, for the last frames, the *path* each took
  from noise to speech. An Euler path is straight between its steps, so it can be read at any time: later chunks may
  take more steps than earlier ones and still see their past at their own times.
- frames to spectrum: the vocoder's stack, the phase of its pulse train, and the samples of source and noise that the
  next window still covers.
- spectrum to samples: the tail of the overlap-add.

With the same number of steps a stream gives what a whole decode gives, however it was cut (up to float rounding);
`ToyCodec.decode` is a stream with one push.
"""

from __future__ import annotations

from dataclasses import fields

import torch

from labkit.audio.features import FrameSettings, overlap_add
from labkit.audio.flow import FlowDecoder, time_grid, token_noise
from labkit.audio.vocoder import FrameControls, HarmonicVocoder, pitch_curve, pulse_train


class FlowStream:
    """Tokens in, normalised log-mel frames out, each exactly once."""

    def __init__(self, decoder: FlowDecoder, generator: torch.Generator) -> None:
        self._decoder = decoder
        self._generator = generator
        self._token_stream = decoder.token_stack.stream()
        self._frame_stream = decoder.frame_stack.stream()
        settings, width = decoder.config.frames, decoder.config.width
        self._hidden = torch.zeros(1, 0, width)
        self._mean = torch.zeros(1, 0, settings.mel_bins)
        self._path = torch.zeros(2, 1, 0, settings.mel_bins)  # (times, 1, frames, mel_bins), the last frames
        self._times = time_grid(1)

    def push(self, tokens: torch.Tensor, steps: int, *, final: bool) -> torch.Tensor:
        """Frames `(1, frames, mel_bins)` that `tokens` `(1, tokens)` settle, in `steps` Euler steps."""
        decoder = self._decoder
        settled = self._token_stream.push(decoder.embed(tokens), final=final)
        hidden = self._frame_stream.push(decoder.spread(settled))
        frames = hidden.shape[1]
        if frames == 0:
            return torch.zeros(1, 0, decoder.config.frames.mel_bins)
        hidden = torch.cat([self._hidden, hidden], dim=1)
        mean = torch.cat([self._mean, decoder.to_mean(hidden[:, -frames:])], dim=1)
        noise = token_noise(settled.shape[1], decoder.config.frames, self._generator)
        times = time_grid(steps)
        past = _read_path(self._path, self._times, times)
        x = noise * decoder.config.temperature
        path = [torch.cat([past[0], x], dim=1)]
        for step in range(steps):
            t, ahead = times[step], times[step + 1]
            velocity = decoder.velocity(path[-1], t.to(x).expand(1), hidden, mean)
            x = x + (ahead - t).to(x) * velocity[:, -frames:]
            path.append(torch.cat([past[step + 1], x], dim=1))
        keep = decoder.flow_stack.past
        kept = max(0, hidden.shape[1] - keep)
        self._hidden, self._mean, self._times = hidden[:, kept:], mean[:, kept:], times
        self._path = torch.stack(path)[:, :, kept:]
        return x


def _read_path(path: torch.Tensor, times: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Points of a piecewise straight path, given at `times`, at the times `wanted`."""
    if torch.equal(times, wanted):
        return path
    right = torch.searchsorted(times, wanted).clamp(1, len(times) - 1)
    weight = ((wanted - times[right - 1]) / (times[right] - times[right - 1])).to(path)
    return torch.lerp(path[right - 1], path[right], weight[:, None, None, None])


class VocoderStream:
    """Normalised log-mel frames in, samples out, each exactly once."""

    def __init__(self, vocoder: HarmonicVocoder, generator: torch.Generator) -> None:
        settings = vocoder.config.frames
        self._vocoder = vocoder
        self._generator = generator
        self._stack = vocoder.stack.stream()
        self._mel = torch.zeros(1, 0, settings.mel_bins)  # frames whose controls wait for the look-ahead
        self._phase: torch.Tensor | float = 0.0
        self._source = torch.zeros(1, settings.margin)  # the zeros that `stft` puts before the first hop
        self._noise = torch.zeros(1, settings.margin)
        self._controls: FrameControls | None = None  # frames whose window is not yet full of source
        self._tail = torch.zeros(1, 0)  # overlap-add that later frames still add to
        self._skip = settings.margin  # samples before the first hop, never played

    def push(self, mel: torch.Tensor, *, final: bool) -> torch.Tensor:
        """Samples `(1, samples)` that `mel` `(1, frames, mel_bins)` settles."""
        vocoder, settings = self._vocoder, self._vocoder.config.frames
        hidden = self._stack.push(vocoder.enter(mel), final=final)
        mel = torch.cat([self._mel, mel], dim=1)
        self._mel = mel[:, hidden.shape[1] :]
        self._extend(vocoder.read(hidden, mel[:, : hidden.shape[1]]), settings)
        if final:
            self._source = torch.nn.functional.pad(self._source, (0, settings.margin))
            self._noise = torch.nn.functional.pad(self._noise, (0, settings.margin))
        ready = max(0, (self._source.shape[1] - settings.window) // settings.hop + 1)
        if ready:
            controls = _slice(self._controls, slice(None, ready))
            self._controls = _slice(self._controls, slice(ready, None))
            spectrum = vocoder.spectrum(
                controls, self._windows(self._source, ready), self._windows(self._noise, ready)
            )
            self._source = self._source[:, ready * settings.hop :]
            self._noise = self._noise[:, ready * settings.hop :]
            self._overlap(overlap_add(spectrum, settings))
        return self._take(settings, ready, final)

    def _extend(self, controls: FrameControls, settings: FrameSettings) -> None:
        frames = controls.pitch.shape[1]
        if frames == 0:
            return
        train, self._phase = pulse_train(
            pitch_curve(controls.pitch, settings), settings.sample_rate, self._phase
        )
        hops = [torch.randn(1, settings.hop, generator=self._generator) for _ in range(frames)]
        self._source = torch.cat([self._source, train], dim=1)
        self._noise = torch.cat([self._noise, *hops], dim=1)
        self._controls = controls if self._controls is None else _join(self._controls, controls)

    def _windows(self, samples: torch.Tensor, frames: int) -> torch.Tensor:
        settings = self._vocoder.config.frames
        used = samples[:, : (frames - 1) * settings.hop + settings.window]
        window = torch.hann_window(settings.window)
        return torch.fft.rfft(used.unfold(1, settings.window, settings.hop) * window)

    def _overlap(self, added: torch.Tensor) -> None:
        waiting = self._tail.shape[1]
        added[:, :waiting] += self._tail
        self._tail = added

    def _take(self, settings: FrameSettings, ready: int, final: bool) -> torch.Tensor:
        settled = max(0, self._tail.shape[1] - settings.margin) if final else ready * settings.hop
        out, self._tail = self._tail[:, :settled], self._tail[:, settled:]
        skipped = min(self._skip, out.shape[1])
        self._skip -= skipped
        return out[:, skipped:]


def _slice(controls: FrameControls, part: slice) -> FrameControls:
    return FrameControls(*(getattr(controls, each.name)[:, part] for each in fields(FrameControls)))


def _join(first: FrameControls, second: FrameControls) -> FrameControls:
    pairs = ((getattr(first, each.name), getattr(second, each.name)) for each in fields(FrameControls))
    return FrameControls(*(torch.cat(pair, dim=1) for pair in pairs))
