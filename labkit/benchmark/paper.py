"""The paper's measurements of speed, as data (Tables 8 and 9; bfloat16, FlashAttention-2, 148 TFLOPS GPUs)."""

from labkit.benchmark.cost import TwoConstants, fit_totals
from labkit.interleave import BALANCE, BOOST, MODES, TURBO, VANILLA

TOKENS = 4096
PROMPT_TOKENS = 32
SIZES = ("0.5B", "7B", "72B")

TABLE_8 = {
    ("0.5B", VANILLA.name): 53.89,
    ("0.5B", BOOST.name): 20.65,
    ("0.5B", BALANCE.name): 20.71,
    ("0.5B", TURBO.name): 11.83,
    ("7B", VANILLA.name): 63.38,
    ("7B", BOOST.name): 23.97,
    ("7B", BALANCE.name): 23.94,
    ("7B", TURBO.name): 13.43,
    ("72B", VANILLA.name): 255.13,
    ("72B", BOOST.name): 84.98,
    ("72B", BALANCE.name): 85.13,
    ("72B", TURBO.name): 39.5,
}
"""Seconds for 4096 tokens, by size and mode; 72B on two GPUs."""

TABLE_9 = {
    BOOST.name: {"encoder": 0.039, "chunk": 0.053, "decoder": 0.151},
    VANILLA.name: {"encoder": 0.039, "chunk": 0.236, "decoder": 0.151},
}
"""Seconds until the first audio segment, by mode, at 7B."""


def constants(size: str) -> TwoConstants:
    """What a backbone pass and a module step took in the paper, fitted to the four totals of a size.

    Raises:
        KeyError: the paper has no such size.
    """
    passes = {name: mode.passes(TOKENS) for name, mode in MODES.items()}
    return fit_totals([(*passes[name], TABLE_8[size, name]) for name in MODES])
