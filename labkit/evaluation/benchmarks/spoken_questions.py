"""LLaMA-Questions, TriviaQA and Web-Questions, spoken, in OpenAudioBench's layout: a CSV beside a folder of audio.

The three sets are questions in writing; OpenAudioBench (Li et al., 2025) has them read out, each in
``eval_datas/NAME/NAME.csv`` with its recordings in ``eval_datas/NAME/audios``.
"""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator
from pathlib import Path

from labkit.data.faults import Faults, SampleError
from labkit.evaluation.benchmarks.files import complete, find
from labkit.evaluation.benchmarks.items import Clip, Item, to_answer

ANSWERS = {
    "llama_questions": ("Answer",),
    "trivia_qa": ("answer_normalized_aliases", "answer_normalized_value", "answer_value"),
    "web_questions": ("answers",),
}
"""Each set's folder, and its columns of answers that count as right."""


def read_spoken_questions(source: str | Path, name: str, faults: Faults) -> list[Item]:
    """Items of the set whose folder is `name`.

    Raises:
        FileNotFoundError: the table is not there.
        SampleError: it has no questions.
    """
    file = f"{name}.csv"
    places = (file, f"{name}/{file}", f"eval_datas/{name}/{file}", f"OpenAudioBench/eval_datas/{name}/{file}")
    path = find(source, places, f"OpenAudioBench with {name}")

    def items() -> Iterator[Item]:
        with path.open(encoding="utf-8-sig", newline="") as table:
            for number, row in enumerate(csv.DictReader(table), start=2):
                answers = tuple(
                    dict.fromkeys(
                        each for column in ANSWERS[name] for each in accepted(row.get(column) or "")
                    )
                )
                audio = row.get("audio_filename") or ""
                if answers and audio:
                    yield to_answer(Path(audio).stem, "en", Clip.of(path.parent / "audios" / audio), answers)
                else:
                    advice = f"a question has audio_filename and {' or '.join(ANSWERS[name])}"
                    faults.add(SampleError(path, number, "bad row", advice))

    return complete(items(), path, name, faults)


def accepted(answers: object) -> list[str]:
    """All answers in a cell: a list, a list written as Python or JSON writes it, parts between ``;``, or one answer."""
    if isinstance(answers, dict):  # as TriviaQA nests them
        return [
            each for key in ("normalized_aliases", "aliases", "value") for each in accepted(answers.get(key))
        ]
    if answers is None or isinstance(answers, str):
        text = (answers or "").strip()
        try:
            answers = ast.literal_eval(text) if text.startswith(("[", "(")) else text.split(";")
        except (ValueError, SyntaxError):
            answers = text.split(";")
    return [str(each).strip() for each in answers if str(each).strip()]
