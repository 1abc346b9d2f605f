r"""Train a recipe's models: `python -m labkit.training toy`.

All stages one after the other, each with checkpoints in the cache folder: a run that was stopped goes on where it was.
For several processes or machines: `accelerate launch -m labkit.training toy`. For two processes on a CPU, where
accelerate has a launcher only for those who have MPI, the one for several GPUs is told to stay off them:

    ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1 accelerate launch --multi_gpu --num_processes 2 --num_machines 1 \
        --mixed_precision no --dynamo_backend no -m labkit.training toy --threads 1

A model too large for one GPU is sharded among several: `labkit.training.sharding`.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from labkit.training.pipeline import Pipeline
from labkit.training.processes import processes
from labkit.training.recipes import RECIPES, recipe
from labkit.training.release import release
from labkit.training.stages import STAGES


def main(typed: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m labkit.training", description=__doc__)
    parser.add_argument("recipe", choices=tuple(RECIPES))
    stages = [stage.number for stage in STAGES]
    parser.add_argument("--stages", type=int, nargs="+", choices=stages, help="only these; all unless given")
    parser.add_argument("--without-stage-0", action="store_true", help="start stage 1 from random weights")
    parser.add_argument(
        "--without-deepening", action="store_true", help="end stage 1 with as many layers as it begins with"
    )
    parser.add_argument("--codec", type=Path, help="folder of the codec; the shipped one unless given")
    parser.add_argument("--folder", type=Path, help="where checkpoints and models go; the cache unless given")
    parser.add_argument(
        "--out", type=Path, help="copy the last model there, in half precision, with its card"
    )
    parser.add_argument(
        "--eight-bits", action="store_true", help="store the copy's matrices in 8 bits, in half the room"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="multiply every stage's steps, for a rehearsal"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args(typed)
    torch.set_num_threads(arguments.threads)
    chosen = recipe(arguments.recipe)
    if arguments.without_deepening:
        chosen = replace(chosen, deepening=None)
    if arguments.scale != 1.0:
        chosen = chosen.scaled(arguments.scale)
    pipeline = Pipeline(
        chosen, arguments.folder, codec=arguments.codec, pretrained=not arguments.without_stage_0
    )
    numbers = arguments.stages or stages[1 if arguments.without_stage_0 else 0 :]
    print(f"trained: {pipeline.run(sorted(numbers))}")
    if arguments.out and processes().is_main_process:
        release(pipeline, max(numbers), arguments.out, scale=arguments.scale, eight_bits=arguments.eight_bits)
        print(
            f"wrote {arguments.out}; score it with: python -m labkit.evaluation.speech_lm --model {arguments.out}"
        )


if __name__ == "__main__":
    main()
