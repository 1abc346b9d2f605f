"""A whole release of tiny random networks on disk, in the released layout: every file, every key, the sizes apart.

For trying the machinery where the real files (22 GB) cannot be had. It babbles; nothing it says means anything.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, WhisperFeatureExtractor

from labkit.audio.glm4_voice.codec import FLOW_WEIGHTS, HIFT_WEIGHTS, PREPROCESSOR, empty_decoder
from labkit.audio.glm4_voice.conformer import ConformerConfig
from labkit.audio.glm4_voice.decoder_config import CONFIG, write_decoder_config
from labkit.audio.glm4_voice.flow import FlowConfig
from labkit.audio.glm4_voice.hift import HiFTConfig
from labkit.audio.glm4_voice.tokenizer import TokenizerConfig, WhisperVQ
from labkit.audio.glm4_voice.unet import UNetConfig
from labkit.audio.random_weights import randomize
from labkit.audio.sensevoice.encoder import EncoderConfig
from labkit.audio.sensevoice.features import STATISTICS, WIDTH, Normalization
from labkit.generation.release import Release
from labkit.model import RELEASED_MODULES, SpeechLM, save_speech_lm
from labkit.model.checkpoint import split_shards
from labkit.model.layout import PLUS_MODEL_TYPES, released_config, released_state
from labkit.model.plus import AudioTower, tower_key
from labkit.vocabulary import Vocabulary, extend_tokenizer
from labkit.vocabulary.chat import ROLES
from labkit.vocabulary.layout import CHAT_SPECIALS
from labkit.vocabulary.prompts import ASR, LUKE, TTS

CODES = 64
PLUS_CLASS = "Qwen2MTPSenseVoiceForCausalLM"
TEXTS = (
    "What do you see when you look at the sea?",
    "The dove dove into the bush.",
    *("一行", "银行") * 3,
    "我们一行人上周去贵州旅游",
)
# As Qwen2.5 splits text: a run of letters of any script is one piece, so that tokens reach across Chinese words.
PIECES = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEXT_TOKENS = 320
TOKENIZER = TokenizerConfig(width=32, layers=2, heads=4, feed_forward=64, codes=CODES)
FLOW = FlowConfig(
    codes=CODES,
    width=32,
    encoder=ConformerConfig(inputs=32, width=32, heads=4, feed_forward=64, layers=2),
    estimator=UNetConfig(channels=(16, 16), head_dim=8, heads=2, blocks=1, mid_blocks=1),
)
HIFT = HiFTConfig(channels=16, pitch_channels=16)
SENSEVOICE = EncoderConfig(width=32, feed_forward=64, layers=3, second_layers=2)
PITCH = 120.0  # Hz, about which the random voice hums
SHARD_BYTES = 100_000


def write_tiny_release(
    folder: str | Path, *, plus: bool = False, modules: int = RELEASED_MODULES, seed: int = 0
) -> Release:
    """Write ``model``, ``tokenizer`` and ``decoder`` below a folder, each with the files of the release.

    Args:
        folder: made if missing.
        plus: a model that hears through SenseVoice.
        modules: MCTP modules.
        seed: of all weights.
    """
    release, generator = Release.below(folder), torch.Generator().manual_seed(seed)
    for part in (release.model, release.tokenizer, release.decoder):
        part.mkdir(parents=True, exist_ok=True)
    write_tokenizer(release.tokenizer, generator)
    write_decoder(release.decoder, generator)
    text = text_tokenizer(plus)
    text.save_pretrained(release.model)
    config = Qwen2Config(
        vocab_size=Vocabulary.from_tokenizer(text).padded_size,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.2,
        tie_word_embeddings=False,
    )
    model = SpeechLM.from_config(config, modules, generator=generator)
    with torch.no_grad():  # no special token ever beats a text or audio token, so no turn ends by chance
        vocabulary = Vocabulary.from_tokenizer(text)
        model.backbone.lm_head.weight[list(vocabulary.specials.values())] = 0
        model.backbone.lm_head.weight[vocabulary.size :] = 0
    if plus:
        write_plus(release.model, model, generator)
    else:
        save_speech_lm(model, release.model, SHARD_BYTES)
    return release


def text_tokenizer(plus: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level BPE of a few texts that splits as Qwen2.5's does, with the release's special and audio tokens."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=TEXT_TOKENS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([*TEXTS, LUKE, ASR, TTS, *ROLES], trainer)
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in CHAT_SPECIALS])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    return extend_tokenizer(wrapped, CODES, plus)


def write_tokenizer(folder: Path, generator: torch.Generator) -> None:
    """The files of the GLM-4-Voice tokenizer."""
    model = WhisperVQ(TOKENIZER)
    randomize(model, generator)
    (folder / "config.json").write_text(
        json.dumps(TOKENIZER.to_released(), indent=2) + "\n", encoding="utf-8"
    )
    extractor = WhisperFeatureExtractor(feature_size=TOKENIZER.mel_bins)
    (folder / PREPROCESSOR).write_text(extractor.to_json_string(), encoding="utf-8")
    statistics = {
        "ema_count": torch.ones(TOKENIZER.codes),
        "ema_weight": model.codebook.weight.detach().clone(),
    }
    save_file({**model.state_dict(), **statistics}, folder / "model.safetensors", metadata={"format": "pt"})


def write_decoder(folder: Path, generator: torch.Generator) -> None:
    """The files of the GLM-4-Voice decoder: YAML with its tags, and pickled state dicts."""
    write_decoder_config(folder / CONFIG, FLOW, HIFT)
    flow, hift = (network.to_empty(device="cpu") for network in empty_decoder(FLOW, HIFT))
    for network, file in ((flow, FLOW_WEIGHTS), (hift, HIFT_WEIGHTS)):
        randomize(network, generator)
        if network is hift:
            hift.f0_predictor.classifier.bias.data.fill_(PITCH)
        torch.save(dict(network.state_dict()), folder / file)


def write_plus(folder: Path, model: SpeechLM, generator: torch.Generator) -> None:
    """The files of VITA-Audio-Plus, SenseVoice's normalisation among them."""
    tower = AudioTower(SENSEVOICE, model.config.hidden_size)
    randomize(tower, generator)
    state = {name: tensor.contiguous() for name, tensor in released_state(model).items()}
    state |= {tower_key(name): tensor for name, tensor in tower.state_dict().items()}
    shards = split_shards(state, SHARD_BYTES)
    files = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    for file, shard in zip(files, shards, strict=True):
        save_file(shard, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": weight_map}), encoding="utf-8"
    )
    config = {
        **released_config(model),
        "model_type": PLUS_MODEL_TYPES[0],
        "architectures": [PLUS_CLASS],
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    # Roughly where log filter banks of 16-bit speech lie.
    Normalization(torch.full((WIDTH,), -10.0), torch.full((WIDTH,), 0.2)).write(folder / STATISTICS)
