"""The toy codec: a small tokenizer, flow-matching decoder and vocoder, trained by this project and shipped with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from labkit.audio.codec import STREAMING_STEPS, Codec, DecodeStream, WeightsError, step_schedule
from labkit.audio.features import FrameSettings, log_mel
from labkit.audio.flow import FlowConfig, FlowDecoder
from labkit.audio.io import as_mono
from labkit.audio.streaming import FlowStream, VocoderStream
from labkit.audio.tokenizer import SpeechTokenizer, TokenizerConfig
from labkit.audio.vocoder import HarmonicVocoder, VocoderConfig
from labkit.paths import weights_folder

BLOCK_TOKENS = 250
"""Whole utterances are worked through in blocks of 20 seconds, so memory does not grow with their length."""


class ToyCodec(Codec):
    """16 kHz speech to 12.5 audio tokens per second and back.

    Attributes:
        tokenizer, flow, vocoder: the three networks, in evaluation mode.
        mel_mean, mel_scale: log-mels are normalised to `(mel - mel_mean) / mel_scale`.
        phonemes: names of the labels that the tokenizer was trained to recognise.
    """

    def __init__(
        self,
        tokenizer: SpeechTokenizer,
        flow: FlowDecoder,
        vocoder: HarmonicVocoder,
        *,
        mel_mean: float,
        mel_scale: float,
        phonemes: Sequence[str],
    ) -> None:
        self.tokenizer, self.flow, self.vocoder = tokenizer.eval(), flow.eval(), vocoder.eval()
        self.mel_mean, self.mel_scale = mel_mean, mel_scale
        self.phonemes = tuple(phonemes)
        self.frames: FrameSettings = tokenizer.config.frames
        self.sample_rate = self.frames.sample_rate
        self.token_rate = self.frames.token_rate
        self.size = len(tokenizer.codebook)

    @torch.inference_mode()
    def encode(self, waveform: object, sample_rate: int) -> torch.Tensor:
        """Audio tokens `(tokens,)`; the end is filled up with silence to a whole token (80 ms)."""
        tokenizer, per_token = self.tokenizer, self.frames.frames_per_token
        mel = self.mel(waveform, sample_rate)[None]
        frame_stream, token_stream = tokenizer.frame_stack.stream(), tokenizer.token_stack.stream()
        features, waiting = [], mel.new_zeros(1, 0, tokenizer.config.width)
        blocks = mel.split(BLOCK_TOKENS * per_token, dim=1)
        for number, block in enumerate(blocks):
            final = number + 1 == len(blocks)
            waiting = torch.cat([waiting, frame_stream.push(tokenizer.enter(block), final=final)], dim=1)
            whole = waiting.shape[1] // per_token * per_token
            pooled = tokenizer.pool_frames(waiting[:, :whole])
            waiting = waiting[:, whole:]
            features.append(tokenizer.to_code(token_stream.push(pooled, final=final)))
        return tokenizer.codebook.encode(torch.cat(features, dim=1))[0]

    def decode(self, tokens: torch.Tensor | Sequence[int], steps: int = 10, *, seed: int = 0) -> torch.Tensor:
        """Waveform `(1280 * tokens,)` in `steps` Euler steps; the same seed gives the same sound."""
        stream = self.stream(steps, seed=seed)
        *blocks, last = self.check_tokens(tokens).split(BLOCK_TOKENS)
        return torch.cat([*(stream.push(block) for block in blocks), stream.finish(last)])

    def stream(self, steps: int | Sequence[int] = STREAMING_STEPS, *, seed: int = 0) -> ToyStream:
        return ToyStream(self, steps, seed)

    @torch.inference_mode()
    def mel(self, waveform: object, sample_rate: int) -> torch.Tensor:
        """Normalised log-mels `(5 * tokens, mel_bins)` of speech, filled up with silence to whole tokens."""
        samples = as_mono(waveform, sample_rate, self.sample_rate)
        missing = -len(samples) % self.frames.samples_per_token
        return self.normalise(log_mel(torch.nn.functional.pad(samples, (0, missing))[None], self.frames)[0])

    def normalise(self, mel: torch.Tensor) -> torch.Tensor:
        return (mel - self.mel_mean) / self.mel_scale

    def denormalise(self, mel: torch.Tensor) -> torch.Tensor:
        return mel * self.mel_scale + self.mel_mean

    @torch.inference_mode()
    def decode_mel(
        self, tokens: torch.Tensor | Sequence[int], steps: int = 10, *, seed: int = 0
    ) -> torch.Tensor:
        """Normalised log-mels `(5 * tokens, mel_bins)`: the flow's half of `decode`, to be looked at."""
        stream = FlowStream(self.flow, torch.Generator().manual_seed(seed))
        return stream.push(self.check_tokens(tokens)[None], steps, final=True)[0]

    @torch.inference_mode()
    def read_phonemes(self, tokens: torch.Tensor | Sequence[int]) -> list[str]:
        """The phoneme that the tokens' own supervision head hears in each 16 ms frame, `5 * tokens` of them."""
        codes = self.tokenizer.codebook.decode(self.check_tokens(tokens))[None]
        logits, _ = self.tokenizer.heads(codes)
        return [self.phonemes[index] for index in logits[0].argmax(dim=-1).tolist()]

    def save(self, folder: str | Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write `model.safetensors` (in `dtype`: halves are plenty here) and `config.json` into `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            name: tensor.to(dtype).contiguous() for name, tensor in self._networks().state_dict().items()
        }
        save_file(state, folder / "model.safetensors")
        config = {
            "tokenizer": self.tokenizer.config.to_dict(),
            "flow": self.flow.config.to_dict(),
            "vocoder": self.vocoder.config.to_dict(),
            "mel_mean": self.mel_mean,
            "mel_scale": self.mel_scale,
            "phonemes": list(self.phonemes),
        }
        (folder / "config.json").write_text(
            json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )

    @classmethod
    def load(cls, folder: str | Path | None = None) -> ToyCodec:
        """The shipped codec, or one saved in `folder`.

        Raises:
            WeightsError: if a file is missing or does not fit, saying where it comes from.
        """
        folder = weights_folder() / "toy-codec" if folder is None else Path(folder)
        for file in ("config.json", "model.safetensors"):
            if not (folder / file).is_file():
                raise WeightsError(
                    f"{folder / file} is missing. The shipped codec comes with the repository (git checkout -- "
                    f"labkit/weights); to train one yourself: python -m labkit.training.train_codec"
                )
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            codec = cls(
                SpeechTokenizer(TokenizerConfig.from_dict(config["tokenizer"])),
                FlowDecoder(FlowConfig.from_dict(config["flow"])),
                HarmonicVocoder(VocoderConfig.from_dict(config["vocoder"])),
                mel_mean=config["mel_mean"],
                mel_scale=config["mel_scale"],
                phonemes=config["phonemes"],
            )
            state = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
            codec._networks().load_state_dict(state)
        except (KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise WeightsError(
                f"the files in {folder} are not a toy codec of this version: {error}"
            ) from error
        return codec

    def _networks(self) -> nn.ModuleDict:
        return nn.ModuleDict({"tokenizer": self.tokenizer, "flow": self.flow, "vocoder": self.vocoder}).eval()


class ToyStream(DecodeStream):
    """Streaming decode of the toy codec; see `labkit.audio.streaming` for what it remembers."""

    def __init__(self, codec: ToyCodec, steps: int | Sequence[int], seed: int) -> None:
        self._steps = step_schedule(steps)  # refuses what is no number of steps before any token comes
        self._codec = codec
        # Two generators: how often the flow draws must not shift what the vocoder hears.
        self._flow = FlowStream(codec.flow, torch.Generator().manual_seed(seed))
        self._vocoder = VocoderStream(codec.vocoder, torch.Generator().manual_seed(seed + 1))
        self._chunks = 0
        self._finished = False

    def push(self, tokens: torch.Tensor | Sequence[int]) -> torch.Tensor:
        return self._advance(self._codec.check_tokens(tokens), final=False)

    def finish(self, tokens: torch.Tensor | Sequence[int] = ()) -> torch.Tensor:
        """All sound that is left, after some last tokens: one pass for both is cheaper than two."""
        last = self._codec.check_tokens(tokens) if len(tokens) else torch.zeros(0, dtype=torch.long)
        sound = self._advance(last, final=True)
        self._finished = True
        return sound

    @torch.inference_mode()
    def _advance(self, tokens: torch.Tensor, *, final: bool) -> torch.Tensor:
        if self._finished:
            raise RuntimeError("this stream is finished; open another one with codec.stream()")
        steps = self._steps[min(self._chunks, len(self._steps) - 1)]
        if len(tokens):
            self._chunks += 1
        mel = self._flow.push(tokens[None], steps, final=final)
        return self._vocoder.push(mel, final=final)[0].clamp(-1.0, 1.0)
