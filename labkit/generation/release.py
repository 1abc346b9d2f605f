"""The released models as one piece: which files they are, where they come from, how large they are, and loading them.

assistant = load_release()                                       # VITA-Audio-Boost from the hub
assistant = load_release(Release(model="/models/VITA-Audio-Boost", ...), device="cuda", dtype=torch.bfloat16)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from labkit.audio.glm4_voice.codec import (
    DECODER,
    FLOW_WEIGHTS,
    HIFT_WEIGHTS,
    PREPROCESSOR,
    TOKENIZER,
    GLM4VoiceCodec,
)
from labkit.audio.glm4_voice.decoder_config import CONFIG
from labkit.audio.sensevoice.features import STATISTICS
from labkit.checkpoints import TEXTS, CheckpointError, find_folder, read_json
from labkit.generation.tasks import Assistant
from labkit.model import load_speech_lm
from labkit.model.layout import PLUS_MODEL_TYPES
from labkit.model.plus import FRONT_END, load_plus
from labkit.vocabulary import load_tokenizer

BOOST = "VITA-MLLM/VITA-Audio-Boost"
WEIGHTS = "*.safetensors"


@dataclass(frozen=True)
class Part:
    """Files from one place on the hub.

    Attributes:
        source: the hub id.
        files: names, or patterns of them.
        gigabytes: of all of them (10^9 bytes), worked out from the shapes.
        what: they are.
    """

    source: str
    files: tuple[str, ...]
    gigabytes: float
    what: str


TEXT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
INSTEAD = {"tokenizer.json": "vocab.json"}  # with merges.txt: the same in the older form
PARTS = (
    Part(BOOST, (*TEXT_FILES, WEIGHTS), 20.6, "language model, Boost's layout"),
    Part("VITA-MLLM/VITA-Audio-Balance", (*TEXT_FILES, WEIGHTS), 20.6, "language model, Balance's layout"),
    Part(
        "VITA-MLLM/VITA-Audio-Plus-Boost",
        (*TEXT_FILES, WEIGHTS),
        21.1,
        "language model that hears continuously",
    ),
    Part("VITA-MLLM/VITA-Audio-Plus-Vanilla", (*TEXT_FILES, WEIGHTS), 16.0, "the same without MCTP modules"),
    Part(TOKENIZER, ("config.json", PREPROCESSOR, WEIGHTS), 1.46, "speech to audio tokens"),
    Part(DECODER, (CONFIG, FLOW_WEIGHTS, HIFT_WEIGHTS), 0.53, "audio tokens to speech"),
    Part(FRONT_END, (STATISTICS,), 0.00001, "VITA-Audio-Plus only: normalisation of what it hears"),
)


@dataclass(frozen=True)
class Release:
    """Where each part lies: a folder, or a hub id.

    Attributes:
        model: the language model, with its text tokenizer.
        tokenizer: speech to audio tokens.
        decoder: audio tokens to speech.
        front_end: of VITA-Audio-Plus; unless given, beside the model or on the hub.
    """

    model: str | Path = BOOST
    tokenizer: str | Path = TOKENIZER
    decoder: str | Path = DECODER
    front_end: str | Path | None = None

    @classmethod
    def below(cls, folder: str | Path) -> "Release":
        """The folders ``model``, ``tokenizer`` and ``decoder`` below one."""
        folder = Path(folder)
        return cls(folder / "model", folder / "tokenizer", folder / "decoder")

    def missing(self) -> list[str]:
        """Files that are not there, for parts given as folders; parts on the hub are fetched when they are loaded."""
        wanted = {
            self.model: (*TEXT_FILES, WEIGHTS),
            self.tokenizer: PARTS[4].files,
            self.decoder: PARTS[5].files,
        }
        return [
            str(Path(source) / name)
            for source, names in wanted.items()
            if isinstance(source, Path) or Path(source).exists() or Path(source).is_absolute()
            for name in names
            if not any(Path(source).glob(name)) and not (Path(source) / INSTEAD.get(name, name)).is_file()
        ]


def load_release(
    release: Release | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    attention: str = "sdpa",
    codec_device: torch.device | str | None = None,
    tell: Callable[[str], None] | None = print,
) -> Assistant:
    """Load a released model whole: VITA-Audio-Boost, -Balance or -Plus, with tokenizer and decoder.

    The language model comes in its own dtype (bfloat16) unless another is given; tokenizer and decoder in float32, as
    released. What each part will take is told before it is loaded.

    Args:
        release: where the parts lie; VITA-Audio-Boost from the hub unless given.
        dtype: of the language model.
        device: of the language model, or ``"auto"``.
        attention: its kernel.
        codec_device: of tokenizer and decoder; the language model's unless given.
        tell: gets those lines.

    Raises:
        FileNotFoundError: a part is neither a folder nor a hub id that can be reached, or lacks a file.
        CheckpointError: files that are broken, hold more than values and tensors, or do not fit.
        MemoryError: a part does not fit.
        ValueError: parts that do not belong together.
    """
    release = release or Release()
    options = {"dtype": dtype, "device": device, "attention": attention, "tell": tell}
    folder = find_folder(release.model, [*TEXTS, STATISTICS, WEIGHTS])
    if read_json(folder / "config.json", "a checkpoint").get("model_type") in PLUS_MODEL_TYPES:
        model, ears = load_plus(folder, release.front_end, **options)
    else:
        model, ears = load_speech_lm(folder, **options), None
    tokenizer = load_tokenizer(folder)
    codec = GLM4VoiceCodec.load(
        release.tokenizer, release.decoder, device=codec_device or model.device, tell=tell
    )
    try:
        return Assistant(model, tokenizer, codec, ears)
    except ValueError as error:
        raise CheckpointError(f"{release}: {error}") from error
