"""What the benchmark has measured where a lesson cannot: half a billion parameters and more, quiet machines, GPUs.

    python -m labkit.benchmark modes --sizes 0.5B --threads 2 --out labkit/benchmark/results/modes-cpu.json
    python -m labkit.benchmark first-audio --size 0.5B --threads 2 --out labkit/benchmark/results/first-audio-cpu.json

A report that is added to the folder is shown by lesson 08 beside those there are.
"""

import json
from pathlib import Path

from labkit.benchmark.modes import Report

RESULTS = Path(__file__).parent / "results"


def recorded(kind: str) -> dict[str, Report]:
    """Reports of a kind (``"modes"``, ``"first-audio"``, ``"length"``) by the machine's name, those of CPUs first.

    Raises:
        ValueError: there is none.
    """
    found = {
        path.stem.removeprefix(f"{kind}-"): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(RESULTS.glob(f"{kind}-*.json"))
    }
    if not found:
        raise ValueError(
            f"{RESULTS} has no report of {kind!r}; `python -m labkit.benchmark {kind} --out` makes one"
        )
    return {machine: found[machine] for machine in sorted(found, key=lambda name: not name.startswith("cpu"))}
