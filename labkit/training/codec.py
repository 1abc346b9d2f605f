"""The objectives that train the toy codec: tokenizer, flow-matching decoder and vocoder, each a dictionary of losses.

Three objectives, each a class called by `labkit.training.fit.fit` with a step and its generator. The order matters:
the decoder learns on the tokens of a finished tokenizer, as GLM-4-Voice's does; the vocoder learns on true frames
and needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.nn import functional

from labkit.audio.features import FrameSettings, log_mel, stft
from labkit.audio.flow import FlowDecoder
from labkit.audio.tokenizer import SpeechTokenizer
from labkit.audio.vocoder import FrameControls, HarmonicVocoder
from labkit.training.fit import mixed_precision


@dataclass(frozen=True)
class Frames:
    """A corpus as frames: what every objective here draws its batches from.

    Attributes:
        mel: normalised log-mels of every utterance, each `(frames, mel_bins)`.
        phonemes: label of every frame, each `(frames,)`.
    """

    mel: list[torch.Tensor]
    phonemes: list[torch.Tensor]


def crop(
    items: list[list[torch.Tensor]],
    length: int,
    batch: int,
    generator: torch.Generator,
    unit: int = 1,
    device: torch.device | str = "cpu",
) -> list[torch.Tensor]:
    """Random crops of `length` frames, cut at the same place from each parallel list, each stacked to a batch.

    Starts at a multiple of `unit`. Utterances shorter than a crop are passed over. Batches are put on `device`.
    """
    long_enough = [i for i, item in enumerate(items[0]) if len(item) >= length]
    if not long_enough:
        raise ValueError(f"no utterance has {length} frames; train on longer speech or shorter crops")
    rows = []
    for pick in torch.randint(len(long_enough), (batch,), generator=generator).tolist():
        index = long_enough[pick]
        places = (len(items[0][index]) - length) // unit + 1
        start = unit * int(torch.randint(places, (1,), generator=generator))
        rows.append([each[index][start : start + length] for each in items])
    return [torch.stack(column).to(device) for column in zip(*rows, strict=True)]


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters lie."""
    return next(network.parameters()).device


@dataclass
class TokenizerObjective:
    """Name the phonemes and redraw the mel through the codebook.

    The codebook joins after `continuous_steps` steps of training without it, started by k-means on the features of
    that moment: from random vectors, most entries would never be chosen.
    """

    tokenizer: SpeechTokenizer
    frames: Frames
    batch: int = 24
    length: int = 160
    continuous_steps: int = 300
    phoneme_weight: float = 3.0

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        mel, phonemes = self._crop(generator)
        with mixed_precision(mel.device):
            features = self.tokenizer.features(mel).float()
        codebook = self.tokenizer.codebook
        if step < self.continuous_steps:
            code = functional.normalize(features, dim=-1)
            commitment = features.new_zeros(())
        else:
            if step == self.continuous_steps:
                codebook.initialize(self._many_features(generator), generator)
            code, tokens, commitment = codebook(features)
            codebook.update(features.detach(), tokens, generator)
        with mixed_precision(mel.device):
            logits, drawn = self.tokenizer.heads(code)
        return {
            "phoneme": self.phoneme_weight
            * functional.cross_entropy(logits.float().flatten(0, 1), phonemes.flatten()),
            "mel": (drawn - mel).abs().mean(),
            "commitment": commitment,
        }

    @torch.no_grad()
    def _many_features(self, generator: torch.Generator) -> torch.Tensor:
        wanted = 20 * len(self.tokenizer.codebook)
        found: list[torch.Tensor] = []
        while sum(map(len, found)) < wanted:
            mel, _ = self._crop(generator)
            found.append(self.tokenizer.features(mel).flatten(0, 1))
        return torch.cat(found)

    def _crop(self, generator: torch.Generator) -> list[torch.Tensor]:
        frames = [self.frames.mel, self.frames.phonemes]
        return crop(frames, self.length, self.batch, generator, device=device_of(self.tokenizer))


@dataclass
class FlowObjective:
    """Conditional flow matching on straight paths, beside a regression of the mean; tokens per utterance, frozen."""

    decoder: FlowDecoder
    mel: list[torch.Tensor]
    tokens: list[torch.Tensor]
    batch: int = 16
    length_tokens: int = 32

    def __post_init__(self) -> None:
        per_token = self.decoder.config.frames.frames_per_token
        self._spread = [tokens.repeat_interleave(per_token) for tokens in self.tokens]

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        per_token = self.decoder.config.frames.frames_per_token
        length = self.length_tokens * per_token
        device = device_of(self.decoder)
        mel, tokens = crop([self.mel, self._spread], length, self.batch, generator, per_token, device)
        with mixed_precision(device):
            return self.decoder.losses(tokens[:, ::per_token], mel, generator)


@dataclass
class VocoderObjective:
    """Multi-resolution STFT distance and log-mel distance, with supervised pitch and voicing.

    Attributes:
        waveforms: each `(samples,)`, a whole number of frames.
        mel: normalised log-mels of the same utterances.
        pitch: fundamental frequency of every frame in Hz, 0 where unvoiced.
    """

    vocoder: HarmonicVocoder
    waveforms: list[torch.Tensor]
    mel: list[torch.Tensor]
    pitch: list[torch.Tensor]
    batch: int = 12
    length: int = 64

    def __post_init__(self) -> None:
        hop = self.vocoder.config.frames.hop
        self._hops = [waveform.reshape(-1, hop) for waveform in self.waveforms]

    def __call__(self, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        device = device_of(self.vocoder)
        items = [self.mel, self.pitch, self._hops]
        mel, pitch, hops = crop(items, self.length, self.batch, generator, device=device)
        target = hops.flatten(1)
        with mixed_precision(device):
            controls = self.vocoder.controls(mel)
        controls = FrameControls(*(getattr(controls, each.name).float() for each in fields(controls)))
        voiced = pitch > 0
        # Unvoiced frames have no pitch of their own; the network's guess keeps the pulse train running there.
        used = torch.where(voiced, pitch, controls.pitch.detach())
        made = self.vocoder.synthesize(controls, generator, used)
        octaves = (controls.pitch.log2() - used.log2()).abs()
        settings = self.vocoder.config.frames
        return {
            "spectrum": multi_resolution_distance(made, target),
            "mel": (log_mel(made, settings) - log_mel(target, settings)).abs().mean(),
            "pitch": 10 * octaves[voiced].mean() if voiced.any() else octaves.sum() * 0,
            "voicing": 0.3
            * functional.binary_cross_entropy_with_logits(controls.voicing_logit, voiced.to(target)),
        }


RESOLUTIONS = tuple(FrameSettings(window=window, hop=window // 4) for window in (256, 512, 1024, 2048))


def multi_resolution_distance(made: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over four window lengths of spectral convergence plus log-magnitude distance (Yamamoto et al., 2020).

    Waveforms `(batch, samples)`; the result is a scalar, 0 for equal magnitudes.
    """
    total = made.new_zeros(())
    for settings in RESOLUTIONS:
        usable = made.shape[-1] // settings.hop * settings.hop
        a = stft(made[:, :usable], settings).abs().clamp_min(1e-4)
        b = stft(target[:, :usable], settings).abs().clamp_min(1e-4)
        total = total + (a - b).norm() / b.norm().clamp_min(1e-3) + (a.log() - b.log()).abs().mean()
    return total / len(RESOLUTIONS)
