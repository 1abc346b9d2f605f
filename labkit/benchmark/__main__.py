"""Measure the speed of decoding on this machine: ``python -m labkit.benchmark``.

    python -m labkit.benchmark modes --sizes toy 0.5B 7B --threads 2      # Table 8, Fig. 5, cost model, roofline
    python -m labkit.benchmark first-audio --size toy --threads 1         # Table 9
    python -m labkit.benchmark length --size toy                          # time per token at 256 and at 4096 tokens

On an NVIDIA GPU (bfloat16, CUDA graphs, compiled layers; the released vocabulary, the paper's 4096 tokens):

    python -m labkit.benchmark modes --sizes 0.5B 7B --device cuda --dtype bfloat16 --tokens 4096 --compile \\
        --out labkit/benchmark/results/modes-gpu.json
    python -m labkit.benchmark first-audio --size 7B --device cuda --dtype bfloat16 --compile

``--no-graphs`` and ``--attention flash_attention_2`` say what graphs and FlashAttention bring. All weights are random:
they change nothing about the time.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from labkit.audio.toy import ToyCodec
from labkit.benchmark.first_audio import benchmark_first_audio
from labkit.benchmark.length import benchmark_length
from labkit.benchmark.machine import describe
from labkit.benchmark.modes import (
    FIT_TOKENS,
    Report,
    Setting,
    benchmark_modes,
    random_model,
    table_8,
    vocabulary_of,
)
from labkit.model import KERNELS, SIZES, size_config

DTYPES = ("float32", "bfloat16", "float16")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--prompt-tokens", type=int, default=32, help="to prefill (default: 32, as in the paper)"
    )
    shared.add_argument("--repeats", type=int, default=5, help="rounds that count, after one that does not")
    shared.add_argument("--threads", type=int, help="CPU threads")
    shared.add_argument("--device", default="cpu", help="cpu or cuda")
    shared.add_argument("--dtype", choices=DTYPES, default="float32")
    shared.add_argument("--attention", choices=KERNELS, default="sdpa")
    shared.add_argument("--no-graphs", action="store_true", help="no CUDA graphs on a GPU")
    shared.add_argument(
        "--compile", action="store_true", help="torch.compile for the decoder layer, for GPUs"
    )
    shared.add_argument("--out", type=Path, help="write the JSON here as well")
    parser = argparse.ArgumentParser(
        prog="python -m labkit.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    modes = kinds.add_parser("modes", parents=[shared], help="all modes at some sizes (Table 8, Fig. 5)")
    modes.add_argument("--sizes", nargs="+", choices=SIZES, default=["0.5B"])
    modes.add_argument("--tokens", type=int, default=66, help="to generate (the paper: 4096)")
    first = kinds.add_parser("first-audio", parents=[shared], help="until the first sound (Table 9)")
    first.add_argument("--size", choices=SIZES, default="toy")
    length = kinds.add_parser("length", parents=[shared], help="time per token by length of the answer")
    length.add_argument("--size", choices=SIZES, default="toy")
    length.add_argument(
        "--lengths", nargs=2, type=int, default=[256, 4096], help="of prompt and answer together"
    )
    return parser.parse_args(arguments)


def setting_of(chosen: argparse.Namespace, tokens: int) -> Setting:
    """How to measure."""
    return Setting(
        tokens=tokens,
        prompt_tokens=chosen.prompt_tokens,
        repeats=chosen.repeats,
        device=chosen.device,
        dtype=getattr(torch, chosen.dtype),
        attention=chosen.attention,
        graphs=False if chosen.no_graphs else None,
        compiled=chosen.compile,
    )


def single(chosen: argparse.Namespace) -> Report:
    """The measurements that take one size."""
    vocabulary = vocabulary_of(chosen.size)
    tokens = max(chosen.lengths) - chosen.prompt_tokens if chosen.kind == "length" else FIT_TOKENS
    setting = setting_of(chosen, tokens)
    fast, prompt = random_model(size_config(chosen.size, vocabulary.padded_size), setting)
    if chosen.kind == "length":
        found = benchmark_length(fast, prompt, vocabulary, chosen.lengths, setting.repeats)
    else:
        found = benchmark_first_audio(fast, prompt, ToyCodec.load(), vocabulary, setting.repeats)
    return {
        "machine": describe(setting.device),
        "setting": setting.to_dict(),
        "size": chosen.size,
        chosen.kind: found,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    chosen = parse(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    if chosen.kind == "modes":
        found = benchmark_modes(chosen.sizes, setting_of(chosen, chosen.tokens))
    else:
        found = single(chosen)
    text = json.dumps(found, indent=2)
    print(text if chosen.kind != "modes" else table_8(found))
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
