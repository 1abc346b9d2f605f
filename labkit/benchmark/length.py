"""Does a token get dearer as the answer grows? It should, by attention's own reading and by nothing else."""

import statistics
import time
from collections.abc import Sequence

import torch

from labkit.benchmark.contenders import cut
from labkit.generation import FastPath
from labkit.generation.layers import grouped_attention
from labkit.interleave import VANILLA, InterleaveMode
from labkit.vocabulary import Vocabulary

SPAN = 154  # whole periods of every mode: of Turbo's 11 makers, and of 14 slots of content


def benchmark_length(
    fast: FastPath,
    prompt: Sequence[int],
    vocabulary: Vocabulary,
    lengths: Sequence[int] = (256, 4096),
    repeats: int = 3,
) -> dict[str, object]:
    """Vanilla's time per token at two lengths, and how much of the difference is attention's own.

    Returns:
        ``"seconds_per_token"`` and ``"attention_seconds"`` by length; ``"growth"``, the time per token at the greatest
        length over that at the least; ``"growth_without_attention"``, the same with attention's own time taken out; and
        ``"cache_bytes"``, which are the same at any length.
    """
    tokens = seconds_by_length(fast, prompt, vocabulary, VANILLA, lengths, repeats)
    attention = {length: attention_seconds(fast, length) for length in lengths}
    least, most = min(lengths), max(lengths)
    return {
        "seconds_per_token": tokens,
        "attention_seconds": attention,
        "growth": tokens[most] / tokens[least],
        "growth_without_attention": (tokens[most] - attention[most]) / (tokens[least] - attention[least]),
        "cache_bytes": fast.cache_bytes,
    }


def seconds_by_length(
    fast: FastPath,
    prompt: Sequence[int],
    vocabulary: Vocabulary,
    mode: InterleaveMode,
    lengths: Sequence[int],
    repeats: int = 3,
) -> dict[int, float]:
    """Seconds per token: the mean over the `SPAN` tokens up to each length, the median over generations.

    Args:
        fast: a model made ready.
        prompt: token ids.
        vocabulary: of the model.
        mode: who makes which token.
        lengths: of prompt and answer together.
        repeats: generations.

    Raises:
        ValueError: a length so small that there are not so many tokens before it.
    """
    if min(lengths) <= len(prompt) + SPAN:
        raise ValueError(f"lengths must be greater than {len(prompt) + SPAN}, got {min(lengths)}")
    found: dict[int, list[float]] = {length: [] for length in lengths}
    for _ in range(repeats):
        ends = [event.seconds for event in cut(fast, prompt, max(lengths) - len(prompt), mode, vocabulary)()]
        for length in lengths:
            last = length - len(prompt) - 1
            found[length].append((ends[last] - ends[last - SPAN]) / SPAN)
    return {length: statistics.median(times) for length, times in found.items()}


@torch.inference_mode()
def attention_seconds(fast: FastPath, length: int, repeats: int = 50) -> float:
    """What attention alone takes in a backbone pass of one token after ``length`` others."""
    config, model = fast.model.config, fast.model
    place = {"dtype": model.dtype, "device": model.device}
    head_dim = model.layers[0].self_attn.head_dim
    keys = torch.ones(fast.batch, config.num_key_value_heads, length, head_dim, **place)
    query = torch.ones(fast.batch, config.num_attention_heads, 1, head_dim, **place)
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        for _ in model.layers:
            seen = grouped_attention(query, keys, keys, None)
        seen.sum().item()  # waits for the device
        times.append(time.perf_counter() - begun)
    return statistics.median(times)
