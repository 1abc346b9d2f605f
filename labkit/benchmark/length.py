"""Does a token get dearer as the answer grows? It should, by attention's own reading and by nothing else."""

import statistics
import time
from collections.abc import Sequence

import torch

from labkit.benchmark.contenders import cut
from labkit.generation import FastPath
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
        ``"seconds_per_token"`` by length; ``"growth"``, that at the greatest length over that at the least;
        ``"attention_seconds"``, what attention to the keys in between adds to a pass;
        ``"growth_without_attention"``, the growth with that taken out; and ``"cache_bytes"``, which are the same at
        any length.
    """
    least, most = min(lengths), max(lengths)
    tokens = seconds_by_length(fast, prompt, vocabulary, VANILLA, lengths, repeats)
    attention = attention_seconds(fast, most, least)
    return {
        "seconds_per_token": tokens,
        "attention_seconds": attention,
        "growth": tokens[most] / tokens[least],
        "growth_without_attention": (tokens[most] - attention) / tokens[least],
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
    """Seconds per token: the mean over the `SPAN` tokens up to each length, in the generation quietest there.

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
    return {length: min(times) for length, times in found.items()}


def attention_seconds(fast: FastPath, length: int, least: int, rounds: int = 10, passes: int = 20) -> float:
    """What looking at all of ``length`` keys, not only at the first ``least``, adds to a backbone pass of one token.

    Both kinds of passes stand at the same place of the same caches, and come in runs, so that what the longer reading
    drives out of the processor's own caches is counted, too.
    """
    device = fast.model.device
    ids = torch.zeros(fast.batch, length, dtype=torch.long, device=device)
    padding = torch.zeros(fast.batch, dtype=torch.long, device=device)
    _, turn = fast.take_over(ids, padding)
    times: dict[int, list[float]] = {least: [], length: []}
    for _ in range(rounds):
        for keys, found in times.items():
            for _ in range(passes):
                begun = time.perf_counter()
                hidden = fast.run(turn, 0, length - 1, length, only_last=True, most_keys=keys)
                hidden.sum().item()  # waits for the device
                found.append(time.perf_counter() - begun)
    return statistics.median(times[length]) - statistics.median(times[least])
