"""The speech language model: a Qwen2 backbone, its MCTP chain, and ways to look into both."""

from labkit.model.attention import KERNELS
from labkit.model.cache import KeyValueCache
from labkit.model.checkpoint import load_speech_lm, save_speech_lm
from labkit.model.few_rows import packed_weights
from labkit.model.growth import grow_chain, grow_vocabulary
from labkit.model.hooks import HookPoint, hook_names, hook_points
from labkit.model.knockouts import Knockout, KnockoutNeverFired, KnockoutReport
from labkit.model.layout import CheckpointError, released_keys, released_state
from labkit.model.losses import SpeechLosses, speech_losses, stage_targets
from labkit.model.masks import Pass
from labkit.model.mctp import MCTPChain, MCTPModule
from labkit.model.memory import MemoryEstimate, count_parameters, estimate_memory
from labkit.model.selectors import ALL_TOKENS, Tokens, tokens_at, tokens_between, tokens_marked, tokens_where
from labkit.model.sizes import RELEASED_MODULES, SIZES, Size, size_config
from labkit.model.speech_lm import SpeechLM, SpeechOutput
from labkit.model.traces import Trace, trace_memory

__all__ = [
    "ALL_TOKENS",
    "KERNELS",
    "RELEASED_MODULES",
    "SIZES",
    "CheckpointError",
    "HookPoint",
    "KeyValueCache",
    "Knockout",
    "KnockoutNeverFired",
    "KnockoutReport",
    "MCTPChain",
    "MCTPModule",
    "MemoryEstimate",
    "Pass",
    "Size",
    "SpeechLM",
    "SpeechLosses",
    "SpeechOutput",
    "Tokens",
    "Trace",
    "count_parameters",
    "estimate_memory",
    "grow_chain",
    "grow_vocabulary",
    "hook_names",
    "hook_points",
    "load_speech_lm",
    "packed_weights",
    "released_keys",
    "released_state",
    "save_speech_lm",
    "size_config",
    "speech_losses",
    "stage_targets",
    "tokens_at",
    "tokens_between",
    "tokens_marked",
    "tokens_where",
    "trace_memory",
]
