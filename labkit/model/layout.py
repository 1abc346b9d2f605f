"""The released checkpoint layout: the names of its tensors and the fields of its config.

A released ``config.json`` counts the MCTP modules' layers among the backbone's (7B: 38 = 28 + 10) and says
how many they are in ``num_nextn_predict_layers``. The state dict follows it::

    ours                               released
    backbone.model.layers.{i}.*        model.layers.{i}.*
    backbone.model.norm.weight         model.norm.weight            one norm for backbone and chain
    backbone.lm_head.weight            lm_head.weight               absent where it is tied to the embedding
    chain.{k}.layer.*                  model.layers.{backbone layers + k}.*
    chain.{k}.projection.weight        mtp_projs.{k}.weight         (hidden, 2 * hidden), embedding first
    chain.{k}.embed_norm.weight        mtp_embed_norms.{k}.weight
    chain.{k}.hidden_norm.weight       mtp_hidden_norms.{k}.weight
"""

from pathlib import Path

import torch
from transformers import Qwen2Config

from labkit.checkpoints import CheckpointError, read_json
from labkit.model.speech_lm import SpeechLM

MODULES = "num_nextn_predict_layers"
LOSS_WEIGHT = "mtp_loss_weight"
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
RELEASED_NAMES = {
    "projection": "mtp_projs",
    "embed_norm": "mtp_embed_norms",
    "hidden_norm": "mtp_hidden_norms",
}
MODEL_TYPES = ("qwen2", "qwen2_mtp")
PLUS_MODEL_TYPES = ("qwen2_mtp_sensevoice", "qwen2_sensevoice")
PLUS_PREFIXES = ("model.audio_model.", "model.audio_projection.")  # what VITA-Audio-Plus has beside them
ROPE_FIELDS = ("rope_theta", "rope_scaling")  # how configs of transformers 4 spell rope_parameters


def released_key(name: str, num_layers: int) -> str:
    """The released name of one of our parameters, given the number of backbone layers."""
    if name.startswith("backbone."):
        return name.removeprefix("backbone.")
    _, k, part, rest = name.split(".", 3)
    if part == "layer":
        return f"model.layers.{num_layers + int(k)}.{rest}"
    return f"{RELEASED_NAMES[part]}.{k}.{rest}"


def released_state(model: SpeechLM) -> dict[str, torch.Tensor]:
    """The model's tensors under their released names, in the order in which they are used."""
    tied = model.config.tie_word_embeddings
    state = {released_key(name, model.config.num_hidden_layers): p for name, p in model.state_dict().items()}
    return {name: p for name, p in state.items() if not (tied and name == HEAD)}


def read_config(folder: Path, plus: bool = False) -> tuple[Qwen2Config, int, float]:
    """The backbone's config, the number of MCTP modules and the weight of their loss.

    Args:
        folder: of the checkpoint.
        plus: expect VITA-Audio-Plus, whose config has another model type.

    Raises:
        FileNotFoundError: there is no ``config.json``.
        CheckpointError: the config is not one of a Qwen2 model, with or without MCTP modules, or Plus where it should
            not be or the other way round.
    """
    path = folder / "config.json"
    raw = read_json(path, "a checkpoint")
    kind = raw.get("model_type")
    if kind not in (*MODEL_TYPES, *PLUS_MODEL_TYPES):
        raise CheckpointError(f"{path}: model_type {kind!r} is not a Qwen2 model")
    if (kind in PLUS_MODEL_TYPES) != plus:
        what, loader = (
            ("VITA-Audio-Plus", "plus.load_plus") if not plus else ("not VITA-Audio-Plus", "load_speech_lm")
        )
        raise CheckpointError(f"{path}: model_type {kind!r} is {what}; load it with labkit.model.{loader}")
    modules = raw.get(MODULES, 0)
    layers = raw.get("num_hidden_layers", 0)
    if not all(type(count) is int for count in (modules, layers)):
        raise CheckpointError(f"{path}: {layers!r} layers and {modules!r} MCTP modules are no whole numbers")
    if not 0 <= modules < layers:
        raise CheckpointError(f"{path}: {layers} layers in all cannot hold {modules} MCTP modules")
    known = {*Qwen2Config().to_dict(), *ROPE_FIELDS} - {"architectures", "model_type", "layer_types"}
    fields = {name: value for name, value in raw.items() if name in known}
    config = Qwen2Config(**{**fields, "num_hidden_layers": layers - modules})
    return config, modules, float(raw.get(LOSS_WEIGHT, 1.0))


def released_config(model: SpeechLM) -> dict[str, object]:
    """What the released ``config.json`` says of a model."""
    config = model.config
    rope = config.rope_parameters
    return {
        "architectures": ["Qwen2MTPForCausalLM"],
        "model_type": "qwen2_mtp",
        "num_hidden_layers": config.num_hidden_layers + model.num_modules,
        MODULES: model.num_modules,
        LOSS_WEIGHT: model.module_loss_weight,
        **{
            name: getattr(config, name)
            for name in (
                *("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads"),
                *("num_key_value_heads", "hidden_act", "max_position_embeddings", "initializer_range"),
                *("rms_norm_eps", "tie_word_embeddings", "attention_dropout", "use_sliding_window"),
                *("bos_token_id", "eos_token_id", "pad_token_id"),
            )
        },
        "rope_theta": rope["rope_theta"],
        "rope_scaling": None if rope["rope_type"] == "default" else rope,
        "torch_dtype": str(model.dtype).removeprefix("torch."),
    }


def released_keys(num_layers: int, num_modules: int, tied: bool) -> list[str]:
    """Every key of a released checkpoint of this depth, written out from the layout alone."""
    part = "self_attn.{}_proj.{}"
    layer = [
        *(part.format(p, kind) for p in "qkv" for kind in ("weight", "bias")),
        part.format("o", "weight"),
        *(f"mlp.{p}_proj.weight" for p in ("gate", "up", "down")),
        *("input_layernorm.weight", "post_attention_layernorm.weight"),
    ]
    return [
        *(EMBEDDING, "model.norm.weight", *(() if tied else (HEAD,))),
        *(f"model.layers.{i}.{name}" for i in range(num_layers + num_modules) for name in layer),
        *(f"{name}.{k}.weight" for k in range(num_modules) for name in RELEASED_NAMES.values()),
    ]
