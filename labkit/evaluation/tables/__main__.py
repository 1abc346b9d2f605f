"""One of the paper's Tables 4 to 7 in miniature: `python -m labkit.evaluation.tables 5`.

All stages' models, in every mode that they can run, on held-out utterances of the toy speech world, judged by others.
A run that was killed goes on where it stopped, to the same table; a finished one is taken as it is, unless --anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from labkit.evaluation.tables.stages import (
    RESULTS,
    STAGES,
    TABLES,
    evaluate_table,
    stage_folders,
    write_table,
)
from labkit.paths import weights_folder


def main(arguments: list[str] | None = None) -> None:
    """Evaluate, write the table and print its columns."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.evaluation.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", type=int, choices=tuple(TABLES))
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=(), help="default: all that are there")
    parser.add_argument(
        "--models",
        type=Path,
        default=weights_folder(),
        help="folder of speech-lm-stage-1, ...; default: the shipped ones",
    )
    parser.add_argument("--utterances", type=int, default=400, help="held-out utterances in each cell")
    parser.add_argument("--steps", type=int, default=2, help="Euler steps of the codec")
    parser.add_argument("--batch", type=int, default=64, help="prompts answered at a time")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--device", default="cpu", help="of the models")
    parser.add_argument("--anew", action="store_true", help="evaluate again what was finished")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder to write to")
    options = parser.parse_args(arguments)
    spec = TABLES[options.table]
    table = evaluate_table(
        spec,
        stage_folders(options.models, options.stages),
        utterances=options.utterances,
        workers=options.workers,
        anew=options.anew,
        steps=options.steps,
        batch=options.batch,
        device=options.device,
    )
    path = write_table(table, options.out)
    for row in table["rows"]:
        if row["measure"] in spec.measures:
            line = "{language:4} {mode:9} {measure:26} {value:.4f} [{low:.4f}, {high}] n={n}".format(**row)
            print(f"{row['stage'] or '':3} {line}")
    print(path)


if __name__ == "__main__":
    main()
