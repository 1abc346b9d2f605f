"""The release's codec behind the lab's codec interface: GLM-4-Voice tokenizer and decoder, from a folder or the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import torch
from torch import nn
from transformers import WhisperFeatureExtractor

from labkit.audio.codec import STREAMING_STEPS, Codec, DecodeStream, WeightsError, step_schedule
from labkit.audio.glm4_voice.decoder_config import CONFIG, read_decoder_config
from labkit.audio.glm4_voice.flow import SAMPLE_RATE, Flow, FlowConfig, frame_count
from labkit.audio.glm4_voice.hift import HiFT, HiFTConfig
from labkit.audio.glm4_voice.streaming import OVERLAP_FRAMES, FlowStream, VocoderStream, frame_noise
from labkit.audio.glm4_voice.tokenizer import STATISTICS, TokenizerConfig, WhisperVQ
from labkit.audio.io import AudioInputError, as_channels
from labkit.audio.resample import resample
from labkit.checkpoints import (
    WEIGHTS,
    CheckpointError,
    Tensors,
    fill,
    find_folder,
    read_json,
    read_tensors,
    weight_files,
)
from labkit.memory import check_room, free_memory, readable

TOKENIZER, DECODER = "THUDM/glm-4-voice-tokenizer", "THUDM/glm-4-voice-decoder"  # on the hub
FLOW_WEIGHTS, HIFT_WEIGHTS = "flow.pt", "hift.pt"
PREPROCESSOR = "preprocessor_config.json"
ENCODER_PREFIX = "model.encoder."  # of a second layout in circulation, a whole Whisper around the encoder
PIECES = 8  # of 30 seconds, encoded at a time

Tell = Callable[[str], None] | None


class GLM4VoiceTokenizer:
    """Speech to audio tokens.

    Args:
        model: the encoder.
        extractor: transformers' log-mels for it.

    Attributes:
        sample_rate: in Hz, that the encoder hears.
        size: number of different audio tokens.
        token_rate: audio tokens per second.
        samples_per_token: at `sample_rate`.
        piece: samples of the longest piece that is heard at once, 30 seconds.
    """

    def __init__(self, model: WhisperVQ, extractor: WhisperFeatureExtractor) -> None:
        self.model, self.extractor = model.eval(), extractor
        self.sample_rate, self.size = extractor.sampling_rate, model.config.codes
        frame = 2 * extractor.hop_length  # the second convolution halves the rate
        self.samples_per_token = frame * model.config.pooling
        self.token_rate = self.sample_rate / self.samples_per_token
        self.piece = frame * model.config.positions

    def encode(self, waveform: object, sample_rate: int) -> torch.Tensor:
        """Audio tokens `(tokens,)`, one for every 80 ms begun.

        As the release does it: the first channel, cut every 30 seconds.

        Raises:
            AudioInputError: no audio, or a sample rate that cannot be brought to 16 kHz.
        """
        channels = as_channels(waveform, sample_rate)
        try:
            samples = resample(channels[:1], int(sample_rate), self.sample_rate)[0]
        except ValueError as error:
            raise AudioInputError(str(error)) from error
        pieces = samples.split(self.piece)
        longest = -(-len(pieces[0]) // self.samples_per_token) * self.samples_per_token
        return torch.cat(
            [
                tokens
                for start in range(0, len(pieces), PIECES)
                for tokens in self._encode(pieces[start : start + PIECES], longest)
            ]
        )

    @torch.inference_mode()
    def _encode(self, pieces: Sequence[torch.Tensor], samples: int) -> Iterable[torch.Tensor]:
        features, mask = self.features(pieces, samples)
        weight = self.model.conv1.weight
        tokens = self.model(features.to(weight), mask.to(weight.device)).cpu()
        kept = mask[:, :: self.samples_per_token // self.extractor.hop_length].bool()
        return [row[real] for row, real in zip(tokens, kept, strict=True)]

    def features(self, pieces: Sequence[torch.Tensor], samples: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mels `(batch, mel_bins, frames)` and mask `(batch, frames)` of 16 kHz pieces, filled up to `samples`."""
        made = self.extractor(
            [piece.numpy() for piece in pieces],
            sampling_rate=self.sample_rate,
            padding="max_length",
            max_length=samples,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return made["input_features"], made["attention_mask"]

    @classmethod
    def load(
        cls,
        source: str | Path = TOKENIZER,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        tell: Tell = print,
    ) -> Self:
        """From a folder with `config.json`, `preprocessor_config.json` and safetensors, or from the hub.

        Raises:
            FileNotFoundError: no such folder or hub id, or a file is missing.
            CheckpointError: files that are broken, do not fit, or hold more than tensors.
            MemoryError: the parameters do not fit.
        """
        folder = find_folder(source, ["*.json", *WEIGHTS], "tokenizer")
        config = TokenizerConfig.from_released(read_json(folder / "config.json", "a tokenizer"))
        values = read_json(folder / PREPROCESSOR, "a tokenizer")
        try:
            extractor = WhisperFeatureExtractor.from_dict(values)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{folder / PREPROCESSOR} describes no log-mels: {error}") from error
        piece = config.positions * 2 * extractor.hop_length
        if (extractor.feature_size, extractor.n_samples) != (config.mel_bins, piece):
            raise CheckpointError(
                f"{folder}: {PREPROCESSOR} makes {extractor.feature_size} mel bins of {extractor.n_samples} samples, "
                f"the encoder takes {config.mel_bins} and {config.positions} positions"
            )
        with torch.device("meta"):
            model = WhisperVQ(config)
        announce(model, dtype, torch.device(device), "GLM-4-Voice tokenizer", tell)
        tensors = _without_prefix(read_tensors(weight_files(folder)), config.layers)
        fill_own(model, tensors, dtype, device, lambda key: key in STATISTICS or key.startswith("unused."))
        return cls(model, extractor)


def _without_prefix(tensors: Tensors, layers: int) -> Tensors:
    """Names of the second layout as those of the first; what it has behind the kept layers is marked unused."""
    for key, tensor in tensors:
        name = key.removeprefix(ENCODER_PREFIX)
        if name != key:
            _, _, rest = name.partition("layers.")
            number = rest.partition(".")[0]
            behind = name.startswith("layer_norm.") or (number.isdigit() and int(number) >= layers)
            yield "unused." + key if behind else name, tensor
        else:
            yield "unused." + key if key.startswith(("model.decoder.", "proj_out.")) else key, tensor


class GLM4VoiceDecoder:
    """Audio tokens to speech: flow matching, then HiFT. Always in eval mode; no dropout, whatever was trained with.

    Args:
        flow: tokens to mel frames.
        hift: mel frames to sound.

    Raises:
        WeightsError: the two do not belong together.
    """

    def __init__(self, flow: Flow, hift: HiFT) -> None:
        if flow.config.mel_bins != hift.config.mel_bins:
            raise WeightsError(
                f"the flow makes {flow.config.mel_bins} mel bins, the vocoder takes {hift.config.mel_bins}"
            )
        self.flow, self.hift = flow.eval(), hift.eval()
        self.sample_rate = SAMPLE_RATE

    @torch.inference_mode()
    def decode(self, tokens: torch.Tensor, steps: int, seed: int) -> torch.Tensor:
        """Waveform `(samples,)` of tokens `(tokens,)`, on the CPU: 256 for each of `441 * tokens // 64` frames."""
        if not len(tokens):
            return torch.zeros(0)
        draws, _ = generators(seed)
        flow = self.flow
        noise = frame_noise(frame_count(len(tokens)), flow.config.mel_bins, draws)
        weight = flow.encoder_proj.weight
        mel = flow(tokens[None].to(weight.device), noise.to(weight), steps)
        return self.vocode(mel, seed)

    @torch.inference_mode()
    def vocode(self, mel: torch.Tensor, seed: int) -> torch.Tensor:
        """Waveform `(samples,)` of mel frames `(1, mel_bins, frames)`, on the CPU."""
        stream = VocoderStream(self.hift, generators(seed)[1])
        return stream.push(mel, final=True).float().cpu()

    @classmethod
    def load(
        cls,
        source: str | Path = DECODER,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        tell: Tell = print,
    ) -> Self:
        """From a folder with `config.yaml`, `flow.pt` and `hift.pt` (or both as safetensors), or from the hub.

        Raises:
            FileNotFoundError: no such folder or hub id, or a file is missing.
            CheckpointError: files that are broken, do not fit, or hold more than values and tensors.
            MemoryError: the parameters do not fit.
        """
        folder = find_folder(source, [CONFIG, FLOW_WEIGHTS, HIFT_WEIGHTS], "decoder")
        shapes = read_decoder_config(folder / CONFIG)
        flow, hift = empty_decoder(*shapes)
        both = nn.ModuleList([flow, hift])
        announce(both, dtype, torch.device(device), "GLM-4-Voice decoder", tell)
        for module, name in ((flow, FLOW_WEIGHTS), (hift, HIFT_WEIGHTS)):
            file = next(
                (p for p in (folder / name, (folder / name).with_suffix(".safetensors")) if p.is_file()), None
            )
            if file is None:
                raise FileNotFoundError(f"no {name} in {folder}; is this a decoder?")
            fill_own(module, read_tensors([file]), dtype, device)
        return cls(flow, hift)


def empty_decoder(flow: FlowConfig, hift: HiFTConfig) -> tuple[Flow, HiFT]:
    """Both networks on the meta device: every shape and no memory."""
    with torch.device("meta"):
        return Flow(flow), HiFT(hift)


def generators(seed: int) -> tuple[torch.Generator, torch.Generator]:
    """Two of them: how often the flow draws must not shift what the vocoder hears."""
    return torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)


def fill_own(
    module: nn.Module,
    tensors: Tensors,
    dtype: torch.dtype,
    device: torch.device | str,
    ignored: Callable[[str], bool] = lambda key: False,
) -> None:
    """`labkit.checkpoints.fill` for modules whose keys are the file's own."""
    names = {name: name for name in module.state_dict()}
    fill(module, tensors, names, device=torch.device(device), dtype=dtype, ignored=ignored)


def announce(module: nn.Module, dtype: torch.dtype, device: torch.device, what: str, tell: Tell) -> None:
    """Tell what loading will take, before anything is loaded.

    Raises:
        MemoryError: it does not fit.
    """
    count = sum(parameter.numel() for parameter in module.parameters())
    needed = count * dtype.itemsize
    line = f"{what}: {count / 1e6:.3g} million parameters, {readable(needed)}"
    line = check_room(line, needed, device, free_memory(device))
    if tell is not None:
        tell(line)


class GLM4VoiceCodec(Codec):
    """The release's codec. 12.5 tokens a second; it hears at 16 kHz and speaks at 22.05 kHz.

    Args:
        tokenizer: speech to tokens.
        decoder: tokens to speech.

    Raises:
        WeightsError: their codebooks differ in size.
    """

    def __init__(self, tokenizer: GLM4VoiceTokenizer, decoder: GLM4VoiceDecoder) -> None:
        codes = decoder.flow.config.codes
        if tokenizer.size != codes:
            raise WeightsError(
                f"the tokenizer has {tokenizer.size} codes, the decoder {codes}: they do not belong together"
            )
        self.tokenizer, self.decoder = tokenizer, decoder
        self.sample_rate, self.size = decoder.sample_rate, tokenizer.size
        self.token_rate = tokenizer.token_rate

    def encode(self, waveform: object, sample_rate: int) -> torch.Tensor:
        """Audio tokens `(tokens,)`, one for every 80 ms begun; longer than 30 seconds, as the release splits it."""
        return self.tokenizer.encode(waveform, sample_rate)

    def decode(self, tokens: torch.Tensor | Sequence[int], steps: int = 10, *, seed: int = 0) -> torch.Tensor:
        """Waveform of all tokens at once: 256 samples for each of `441 * tokens // 64` frames."""
        step_schedule(steps)
        return self.decoder.decode(self.check_tokens(tokens), steps, seed)

    def stream(
        self,
        steps: int | Sequence[int] = STREAMING_STEPS,
        *,
        seed: int = 0,
        overlap: int = OVERLAP_FRAMES,
    ) -> DecodeStream:
        """The lab's own streaming; see `labkit.audio.glm4_voice.streaming`.

        Args:
            steps: Euler steps of every chunk, or of the first, second, ... and all later ones.
            seed: of noise and phases.
            overlap: mel frames at the end of each chunk that wait for the next, to be made again and faded over. Fewer
                sound earlier; without any, the vocoder waits for the frames that it depends on.
        """
        return GLM4VoiceStream(self, step_schedule(steps), seed, overlap)

    @classmethod
    def load(
        cls,
        tokenizer: str | Path = TOKENIZER,
        decoder: str | Path = DECODER,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        tell: Tell = print,
    ) -> Self:
        """Tokenizer and decoder, each from a folder or the hub.

        Raises:
            FileNotFoundError: no such folder or hub id, or a file is missing.
            CheckpointError: files that are broken or do not fit.
            MemoryError: the parameters do not fit.
            WeightsError: the two do not belong together.
        """
        options = {"dtype": dtype, "device": device, "tell": tell}
        return cls(GLM4VoiceTokenizer.load(tokenizer, **options), GLM4VoiceDecoder.load(decoder, **options))


class GLM4VoiceStream(DecodeStream):
    """Streaming decode; what it remembers lies in its flow stream and its vocoder stream."""

    def __init__(self, codec: GLM4VoiceCodec, steps: tuple[int, ...], seed: int, overlap: int) -> None:
        self._codec, self._steps = codec, steps
        for_flow, for_vocoder = generators(seed)
        self._flow = FlowStream(codec.decoder.flow, for_flow, overlap=overlap)
        self._vocoder = VocoderStream(codec.decoder.hift, for_vocoder)
        self._chunks = 0
        self._finished = False

    @torch.inference_mode()
    def push(self, tokens: torch.Tensor | Sequence[int]) -> torch.Tensor:
        tokens = self._codec.check_tokens(tokens)
        self._check_open()
        if not len(tokens):
            return torch.zeros(0)
        settled = self._flow.push(tokens, self._steps[min(self._chunks, len(self._steps) - 1)])
        self._chunks += 1
        return self._vocoder.push(settled, self._flow.waiting).float().cpu()

    @torch.inference_mode()
    def finish(self) -> torch.Tensor:
        self._check_open()
        self._finished = True
        return self._vocoder.push(self._flow.finish(), final=True).float().cpu()

    def _check_open(self) -> None:
        if self._finished:
            raise RuntimeError("this stream is finished; open another one with codec.stream()")
