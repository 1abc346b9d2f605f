"""Speed of the interleave modes beside plain transformers: ``python -m labkit.benchmark.modes``

All contenders share one set of random weights and take turns within each round, so that a busy machine is busy
for all of them alike; ratios to transformers in the same round are what to compare. (Paper Table 8.)
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import transformers
from tqdm.auto import tqdm
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM

from labkit.generation import generate
from labkit.interleave import BALANCE, BOOST, TURBO, VANILLA, Content, InterleaveMode
from labkit.model import RELEASED_MODULES, SIZES, SpeechLM, estimate_memory, packed_weights, size_config
from labkit.vocabulary import released_vocabulary

YARDSTICK = "transformers"
Run = Callable[[], list[int]]


class WellFormed:
    """Greedy choice, except that audio chunks begin and end where the mode's content says.

    Random weights know nothing of chunks; without this, what a constrained head has to score would be random.
    """

    def __init__(self, mode: InterleaveMode) -> None:
        self._mode, self._slot = mode, 0

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        content = self._mode.holds(self._slot)
        self._slot += 1
        if content in (Content.BEGIN_OF_AUDIO, Content.END_OF_AUDIO):
            return torch.zeros(logits.shape[0], dtype=torch.long, device=logits.device)  # the tag comes first
        first = int(content is Content.AUDIO)  # not the tag that would end the chunk
        return logits[:, first:].argmax(-1) + first


def plain_twin(model: SpeechLM) -> Qwen2ForCausalLM:
    """Transformers' own model around the same weights, with its own sdpa attention."""
    fields = {**model.config.to_dict(), "attn_implementation": "sdpa"}
    with torch.device("meta"):
        twin = Qwen2ForCausalLM(Qwen2Config(**fields)).eval()
    twin.load_state_dict(model.backbone.state_dict(), assign=True)
    twin.model.rotary_emb = model.backbone.model.rotary_emb
    return twin


@torch.no_grad()
def plain_greedy(model: Qwen2ForCausalLM, prompt: Sequence[int], tokens: int) -> list[int]:
    """The yardstick: a greedy loop over transformers' forward with its dynamic cache."""
    cache = DynamicCache(config=model.config)
    ids, made = torch.tensor([list(prompt)], device=model.device), []
    for _ in range(tokens):
        output = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        ids = output.logits[:, -1].argmax(-1, keepdim=True)
        made.append(int(ids))
    return made


def contenders(model: SpeechLM, prompt: Sequence[int], tokens: int) -> dict[str, Run]:
    """Everything that is timed, by name."""
    vocabulary = released_vocabulary()
    twin = plain_twin(model)

    def plain() -> list[int]:
        return plain_greedy(twin, prompt, tokens)

    def full(mode: InterleaveMode) -> Run:
        return lambda: generate(model, prompt, mode, max_new_tokens=tokens).ids()[0]

    def cut(mode: InterleaveMode) -> Run:
        return lambda: generate(
            model,
            prompt,
            mode,
            max_new_tokens=tokens,
            choose=WellFormed(mode),
            vocabulary=vocabulary,
            stop_ids=(),
            constrained=True,
        ).ids()[0]

    runs: dict[str, Run] = {YARDSTICK: plain}
    for mode in (VANILLA, BOOST, BALANCE, TURBO):
        runs[mode.name] = full(mode)
        if model.config.vocab_size >= vocabulary.size:
            runs[f"{mode.name}, cut head"] = cut(mode)
    return runs


def measure(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Seconds of every run in every round, after one round of warming up; runs take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with tqdm(total=(rounds + 1) * len(runs), desc="timing") as bar:
        for turn in range(rounds + 1):
            for name, run in runs.items():
                begun = time.perf_counter()
                run()
                if turn:
                    seconds[name].append(time.perf_counter() - begun)
                bar.update()
    return seconds


def summarize(seconds: dict[str, list[float]], tokens: int) -> dict[str, dict[str, float]]:
    """Median time, tokens per second and speed-up over the yardstick, with the spread over rounds."""
    summary = {}
    for name, times in seconds.items():
        ratios = [plain / own for plain, own in zip(seconds[YARDSTICK], times, strict=True)]
        summary[name] = {
            "seconds": statistics.median(times),
            "seconds_least": min(times),
            "tokens_per_second": tokens / statistics.median(times),
            "speedup": statistics.median(ratios),
            "speedup_least": min(ratios),
            "speedup_most": max(ratios),
        }
    return summary


def benchmark(
    size: str = "0.5B",
    tokens: int = 66,
    prompt_tokens: int = 32,
    rounds: int = 5,
    device: str = "cpu",
    dtype: str = "float32",
    packed: bool = False,
    seed: int = 0,
) -> dict[str, object]:
    """Time all modes at one size with random weights.

    Args:
        size: one of ``labkit.model.SIZES``.
        tokens: to generate.
        prompt_tokens: to prefill.
        rounds: in which every contender has a turn.
        device: where to run.
        dtype: of the weights.
        packed: time everything again with weights laid out for few rows; see `labkit.model.packed_weights`.
        seed: of weights and prompt.

    Returns:
        The setting, and under ``"results"`` (and ``"results_packed"``) the summary by contender.
    """
    config, kind = size_config(size), getattr(torch, dtype)
    print(estimate_memory(config, RELEASED_MODULES, kind, tokens=prompt_tokens + tokens))
    generator = torch.Generator().manual_seed(seed)
    model = SpeechLM.from_config(config, RELEASED_MODULES, generator=generator, dtype=kind, device=device)
    prompt = torch.randint(config.vocab_size, (prompt_tokens,), generator=generator).tolist()
    runs = contenders(model, prompt, tokens)
    results = {"results": summarize(measure(runs, rounds), tokens)}
    if packed:
        with packed_weights(model) as extra_bytes:
            results["packed_bytes"] = extra_bytes
            results["results_packed"] = summarize(measure(runs, rounds), tokens)
    return {
        "size": size,
        "tokens": tokens,
        "prompt_tokens": prompt_tokens,
        "rounds": rounds,
        "dtype": dtype,
        "device": torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else platform.processor() or device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        **results,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.benchmark.modes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--size", choices=SIZES, default="0.5B")
    parser.add_argument("--tokens", type=int, default=66)
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--packed", action="store_true", help="also with weights laid out for few rows")
    parser.add_argument("--out", type=Path, help="write the JSON here as well")
    chosen = parser.parse_args(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    found = benchmark(
        chosen.size,
        chosen.tokens,
        chosen.prompt_tokens,
        chosen.rounds,
        chosen.device,
        chosen.dtype,
        chosen.packed,
    )
    text = json.dumps(found, indent=2)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
