"""VITA-Audio-Plus: the same model, hearing through SenseVoice and an adapter instead of audio tokens.

    model, ears = load_plus("VITA-MLLM/VITA-Audio-Plus-Boost")
    rows = ears.encode(waveform, sample_rate)                        # (rows, hidden)
    chat = Chat(tokenizer).encode(messages, [AudioContext(len(rows))], add_generation_prompt=True)
    generate(model, chat.input_ids, "boost", prompt_embeds=[prompt_embeds(model, chat, [rows])])

It speaks in audio tokens as the others do. In the checkpoint the encoder lies under ``model.audio_model.model.`` and
the adapter under ``model.audio_projection.``, beside the keys of `labkit.model.layout`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from labkit.audio.codec import ContinuousEncoder
from labkit.audio.sensevoice.encoder import UNUSED, EncoderConfig, SenseVoiceEncoder, encoder_keys
from labkit.audio.sensevoice.features import STATISTICS, Normalization, rows_of
from labkit.checkpoints import (
    WEIGHTS,
    CheckpointError,
    fill,
    find_folder,
    read_shapes,
    read_tensors,
    stored_dtype,
    weight_files,
)
from labkit.memory import readable
from labkit.model.checkpoint import empty_model, fill_placed
from labkit.model.layout import PLUS_PREFIXES, read_config
from labkit.model.speech_lm import SpeechLM
from labkit.vocabulary import EncodedChat

FRONT_END = "FunAudioLLM/SenseVoiceSmall"  # on the hub; its am.mvn is all that is needed
ENCODER, ADAPTER = "model.audio_model.model.", "model.audio_projection."


class AudioAdapter(nn.Module):
    """Rows of the encoder `(..., width)` as embeddings of the language model `(..., hidden)`."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.pre_proj_layernorm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden, bias=False), nn.GELU(), nn.Linear(hidden, hidden, bias=False)
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.pre_proj_layernorm(rows))


class AudioTower(nn.Module):
    """Encoder and adapter: normalised rows `(batch, rows, 560)` to `(batch, rows + 4, hidden)`."""

    def __init__(self, config: EncoderConfig, hidden: int) -> None:
        super().__init__()
        self.encoder = SenseVoiceEncoder(config)
        self.adapter = AudioAdapter(config.width, hidden)

    def forward(self, rows: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Embeddings; those beyond `lengths + 4` mean nothing."""
        return self.adapter(self.encoder(rows, lengths))


class PlusEars(ContinuousEncoder):
    """Speech to embeddings of the language model, a row every 60 ms and four before them.

    Args:
        tower: encoder and adapter.
        normalize: the statistics of the encoder's training speech.
    """

    def __init__(self, tower: AudioTower, normalize: Normalization) -> None:
        self.tower, self.normalize = tower.eval(), normalize
        self.width = tower.adapter.mlp[-1].out_features

    @torch.inference_mode()
    def encode(self, waveform: object, sample_rate: int) -> torch.Tensor:
        """Embeddings `(rows + 4, width)`, in the tower's dtype and on its device."""
        rows = rows_of(waveform, sample_rate, self.normalize)
        return self.tower(rows[None].to(self.tower.adapter.mlp[0].weight))[0]


def prompt_embeds(model: SpeechLM, chat: EncodedChat, rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Embeddings `(tokens, hidden)` of a prompt, audio rows in place of its placeholders.

    Args:
        model: whose embedding the other tokens take.
        chat: with one run of placeholders for each of `rows`.
        rows: `(rows, hidden)` of each continuous audio, in order.

    Raises:
        ValueError: another number of audios, or of rows in one of them, than the prompt has placeholders.
    """
    places = [stop - start for start, stop in chat.context_spans]
    if places != [len(each) for each in rows]:
        raise ValueError(
            f"the prompt has placeholders for {places} rows, given were {[len(each) for each in rows]}"
        )
    with torch.no_grad():
        embeds = model.embed(torch.tensor([chat.input_ids], device=model.device))[0].clone()
    for (start, stop), each in zip(chat.context_spans, rows, strict=True):
        embeds[start:stop] = each.to(embeds)
    return embeds


def tower_key(name: str) -> str:
    """The released name of one of the tower's parameters."""
    part, _, rest = name.partition(".")
    return (ENCODER if part == "encoder" else ADAPTER) + rest


def tower_keys(config: EncoderConfig) -> list[str]:
    """Every key that a released VITA-Audio-Plus has beside the others, written out from the layout alone."""
    adapter = ("pre_proj_layernorm.weight", "pre_proj_layernorm.bias", "mlp.0.weight", "mlp.2.weight")
    return [*(ENCODER + key for key in encoder_keys(config)), *(ADAPTER + key for key in adapter)]


def load_plus(
    source: str | Path,
    front_end: str | Path | None = None,
    *,
    attention: str = "sdpa",
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    tell: Callable[[str], None] | None = print,
) -> tuple[SpeechLM, PlusEars]:
    """Load VITA-Audio-Plus: the language model, and what it hears through.

    Args:
        source: a folder, or a hub id if there is no such folder.
        front_end: a folder or hub id with SenseVoice's ``am.mvn``; unless given, the checkpoint's own folder where it
            lies there, or else ``FunAudioLLM/SenseVoiceSmall`` from the hub.
        attention: the language model's kernel, as for `load_speech_lm`.
        dtype: of the parameters; the checkpoint's own unless given.
        device: where to put them, or ``"auto"``.
        tell: gets a line with the memory that each part will take, before it is loaded.

    Raises:
        FileNotFoundError: no such checkpoint, or no ``am.mvn``.
        CheckpointError: not VITA-Audio-Plus, or keys are missing, unexpected or of the wrong shape; all are named.
        MemoryError: the parameters do not fit.
    """
    folder = find_folder(source, ["config.json", STATISTICS, *WEIGHTS])
    config = read_config(folder, plus=True)
    files = weight_files(folder)
    shapes = {
        key.removeprefix(ENCODER): shape
        for key, shape in read_shapes(files).items()
        if key.startswith(ENCODER)
    }
    if not shapes:
        raise CheckpointError(f"{folder} has no tensors under {ENCODER}: this is not VITA-Audio-Plus")
    if front_end is None:
        front_end = folder if (folder / STATISTICS).is_file() else FRONT_END
    statistics = find_folder(front_end, [STATISTICS], "front end") / STATISTICS
    normalize = Normalization.read(statistics)
    model = empty_model(folder, config, attention)
    fill_placed(model, folder, str(source), dtype, device, PLUS_PREFIXES, tell)
    with torch.device("meta"):
        tower = AudioTower(EncoderConfig.from_shapes(shapes), model.config.hidden_size)
    count = sum(parameter.numel() for parameter in tower.parameters())
    if tell is not None:
        tell(
            f"  and SenseVoice: {count / 1e6:.3g} million parameters, {readable(count * model.dtype.itemsize)}"
        )
    fill_tower(tower, files, model.device, dtype or stored_dtype(files))
    return model, PlusEars(tower, normalize)


def fill_tower(
    tower: AudioTower, files: Sequence[Path], device: torch.device, dtype: torch.dtype | None
) -> None:
    """Fill an empty tower from the files of a whole checkpoint.

    Raises:
        CheckpointError: keys of encoder or adapter are missing, unexpected or of the wrong shape.
    """
    unused = {ENCODER + key for key in UNUSED}
    fill(
        tower,
        read_tensors(files),
        {tower_key(name): name for name in tower.state_dict()},
        device=device,
        dtype=dtype,
        ignored=lambda key: key in unused or not key.startswith(PLUS_PREFIXES),
    )
