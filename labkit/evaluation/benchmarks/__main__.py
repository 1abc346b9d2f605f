"""One of the paper's Tables 4 to 7, of a model, on the benchmarks themselves.

    python -m labkit.evaluation.benchmarks 6 --model VITA-MLLM/VITA-Audio-Boost --modes vanilla turbo \\
        --data librispeech=/data/LibriSpeech fleurs=/data/fleurs --device cuda --out table-6.json

Greedy. Rows are kept as they come: a run that was killed goes on where it stopped, to the same numbers. What cannot be
read is left out, counted and listed. `conversations` in place of a table's number asks any messages/audios JSONL.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from typing import Any

from labkit.audio.toy import ToyCodec
from labkit.data.faults import Faults
from labkit.evaluation.benchmarks.answering import BenchmarkRow, Examiner
from labkit.evaluation.benchmarks.catalog import BENCHMARKS, benchmark, read_benchmark
from labkit.evaluation.benchmarks.items import ASR, Item
from labkit.evaluation.benchmarks.run import benchmark_measures, run_items
from labkit.evaluation.judges.interface import Panel, WritingJudge
from labkit.evaluation.judges.paraformer import PARAFORMER, ParaformerJudge
from labkit.evaluation.judges.whisper import LARGE_V3, WhisperJudge
from labkit.evaluation.outputs import output_file
from labkit.evaluation.provenance import code_digest, weights_stamp
from labkit.generation.release import DECODER, TOKENIZER, Release, load_release
from labkit.generation.tasks import Assistant
from labkit.interleave import MODES, mode
from labkit.model import load_speech_lm
from labkit.model.checkpoint import find_checkpoint
from labkit.paths import cache_folder, digest
from labkit.vocabulary import load_tokenizer

CONVERSATIONS = "conversations"
ORIGINAL, CODEC = "original", "codec"
"""In place of a mode: a person's recording of the text as it is, and what the codec makes of it."""


def main(arguments: list[str] | None = None) -> None:
    """Read, ask, judge, write the table and print it."""
    options = _parser().parse_args(arguments)
    splits, faults = _read(options)
    for error in faults.errors:
        print(f"left out: {error}")
    examiner = Examiner(
        _assistant(options),
        _judge(options, [item for items in splits.values() for item in items]),
        options.max_new_tokens,
        options.steps,
        options.constrained,
    )
    if isinstance(examiner.judge, Panel) and isinstance(examiner.judge.judges.get("en"), WhisperJudge):
        examiner = replace(examiner, spelling=examiner.judge.judges["en"].spelling)
    table, listed = [], [str(error) for error in faults.errors]
    for (name, split), items in splits.items():
        folder = cache_folder("benchmarks", _key(options, items))
        spoken = any(item.spoken for item in items)
        for how in ((ORIGINAL, CODEC) if spoken else ()) + tuple(options.modes):
            rows = run_items(
                _examine(examiner, how), items, folder / f"{name}-{split}-{how}.jsonl", options.batch
            )
            listed += [f"{name} {split} {how} {row.item}: {row.fault}" for row in rows if row.fault]
            table += _tidy(name, split, how, rows)
    report = {
        "model": options.model,
        "judge": examiner.judge.name if examiner.judge else None,
        **{
            each: getattr(options, each)
            for each in ("max_new_tokens", "steps", "constrained", "voices", "limit")
        },
        "left_out": listed,
        "table": table,
    }
    options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for row in table:
        print(
            "{benchmark:15} {split:13} {mode:9} {measure:28} {value:.4f} [{low:.4f}, {high}] n={n}".format(
                **row
            )
        )
    print(f"{len(listed)} left out, {options.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m labkit.evaluation.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tables = sorted({str(each.table) for each in BENCHMARKS.values() if each.table})
    parser.add_argument("table", choices=(*tables, CONVERSATIONS))
    parser.add_argument("--model", required=True, help="folder in the released layout, or a hub id")
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="NAME=PATH",
        help="where each benchmark lies, or its hub id",
    )
    parser.add_argument("--modes", nargs="+", choices=tuple(MODES), default=["vanilla"])
    parser.add_argument("--tokenizer", default=TOKENIZER, help="of the release: speech to audio tokens")
    parser.add_argument("--decoder", default=DECODER, help="of the release: audio tokens to speech")
    parser.add_argument("--toy-codec", help="folder of the codec of a model of the lab's own, in their place")
    parser.add_argument("--english-judge", default=LARGE_V3, help="folder or hub id of a Whisper")
    parser.add_argument(
        "--chinese-judge", default=PARAFORMER, help="a Paraformer's folder or FunASR's name for it"
    )
    parser.add_argument(
        "--voices", action="store_true", help="speak in the voice of the benchmark's prompt, if any"
    )
    parser.add_argument("--constrained", action="store_true", help="score only what can stand in each slot")
    parser.add_argument("--limit", type=int, help="the first so many items of each split, for a try")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=10, help="Euler steps of the codec")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=output_file, required=True, help="the table, as tidy JSON")
    return parser


def _read(options: argparse.Namespace) -> tuple[dict[tuple[str, str], list[Item]], Faults]:
    """Items of every split of the table's benchmarks that were given, and what of them cannot be used."""
    given = dict(each.partition("=")[::2] for each in options.data)
    wanted = [each.name for each in BENCHMARKS.values() if str(each.table or each.name) == options.table]
    if wrong := [name for name in given if benchmark(name).name not in wanted]:
        raise SystemExit(f"{', '.join(wrong)} is not of table {options.table}, which has {', '.join(wanted)}")
    if missing := [name for name in wanted if name not in given]:
        print(f"table {options.table} without {', '.join(missing)}: nobody said where they lie")
    faults, splits = Faults("skip"), {}
    for name in wanted:
        for split in benchmark(name).splits if name in given else ():
            items = read_benchmark(name, split, given[name], faults)[: options.limit]
            splits[name, split] = [item.in_voice() for item in items] if options.voices else items
    return splits, faults


def _assistant(options: argparse.Namespace) -> Assistant:
    if options.toy_codec:
        model = load_speech_lm(options.model, device=options.device)
        tokenizer = load_tokenizer(find_checkpoint(options.model))
        return Assistant(model, tokenizer, ToyCodec.load(options.toy_codec))
    return load_release(Release(options.model, options.tokenizer, options.decoder), device=options.device)


def _judge(options: argparse.Namespace, items: list[Item]) -> WritingJudge | None:
    """Those judges that the items need."""
    languages = {item.language for item in items if item.task != ASR}
    judges: dict[str, WritingJudge] = {}
    if "en" in languages:
        judges["en"] = WhisperJudge.load(options.english_judge, device=options.device)
    if "cmn" in languages:
        judges["cmn"] = ParaformerJudge.load(options.chinese_judge, device=options.device)
    return Panel(judges) if judges else None


def _examine(examiner: Examiner, how: str) -> Any:
    if how in (ORIGINAL, CODEC):
        return lambda chosen: examiner.listen(chosen, through_codec=how == CODEC)
    return lambda chosen: examiner.examine(chosen, mode(how))


def _key(options: argparse.Namespace, items: list[Item]) -> str:
    """Names what the rows of a split follow from; equal keys, equal rows."""
    names = ("model", "tokenizer", "decoder", "toy_codec", "english_judge", "chinese_judge")
    settings: dict[str, Any] = {
        name: getattr(options, name) for name in (*names, "batch", "max_new_tokens", "steps", "constrained")
    }
    settings["code"] = code_digest()
    settings["weights"] = [weights_stamp(getattr(options, name)) for name in names if getattr(options, name)]
    settings["items"] = [(item.name, item.messages, item.references) for item in items]
    return digest(settings)


def _tidy(name: str, split: str, how: str, rows: list[BenchmarkRow]) -> list[dict[str, Any]]:
    cell = {"benchmark": name, "split": split, "mode": how}
    return [
        cell
        | {"measure": measure}
        | {key: value if math.isfinite(value) else None for key, value in estimate._asdict().items()}
        for measure, estimate in benchmark_measures(rows).items()
    ]


if __name__ == "__main__":
    main()
