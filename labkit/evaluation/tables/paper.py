"""What the paper's Tables 4 to 7 say of VITA-Audio, to stand beside the toy's rows and never among them.

Percentages, as printed. The paper calls a model by the mode that it runs in; "(S1)" is the first training stage.
"""

from __future__ import annotations

from typing import NamedTuple


class PaperRow(NamedTuple):
    """One number of the paper.

    Attributes:
        table: its number.
        model: as the paper calls it, with the stage where it says one.
        benchmark: the data set, and its split.
        measure: what is counted.
        percent: the number.
    """

    table: int
    model: str
    benchmark: str
    measure: str
    percent: float


_QUESTIONS = ("LLaMA-Questions", "TriviaQA", "Web-Questions", "mean")
_TABLE_4 = {
    "Boost": (68.7, 60.3, 30.5, 29.3, 32.9, 30.4, 44.0, 40.0),
    "Vanilla": (71.3, 66.3, 31.9, 30.1, 33.5, 31.4, 45.6, 42.6),
    "Plus-Vanilla": (75.6, 68.0, 45.9, 42.7, 45.0, 41.7, 55.5, 50.8),
}
_TEXTS = (
    ("Seed-TTS test-zh", "CER"),
    ("Seed-TTS test-en", "WER"),
    ("Seed-TTS test-hard", "WER"),
    ("LibriTTS test-clean", "WER"),
)
_TABLE_5 = {
    "Turbo (S1)": (1.18, 1.92, 10.58, 1.96),
    "Turbo (S2)": (0.96, 1.92, 9.72, 1.98),
    "Turbo (S3)": (1.05, 1.77, 9.86, 1.99),
    "Turbo": (1.07, 2.26, 10.08, 2.08),
    "Plus-Vanilla": (1.13, 1.85, 10.21, 1.89),
}
_SPEECH = {
    6: {
        "LibriSpeech test-clean": {
            "Turbo": 6.29,
            "Vanilla": 2.98,
            "Plus-Vanilla (S1)": 1.91,
            "Plus-Vanilla": 2.00,
        },
        "LibriSpeech test-other": {
            "Turbo": 12.86,
            "Vanilla": 8.07,
            "Plus-Vanilla (S1)": 4.29,
            "Plus-Vanilla": 4.60,
        },
        "Fleurs zh": {"Plus-Vanilla": 3.69},
        "Fleurs en": {"Plus-Vanilla": 4.54},
    },
    7: {
        "AISHELL-1": {"Turbo": 7.70, "Vanilla": 4.46, "Plus-Vanilla (S1)": 1.51, "Plus-Vanilla": 1.94},
        "AISHELL-2 ios": {"Plus-Vanilla": 3.29},
        "WenetSpeech test-meeting": {
            "Turbo": 18.66,
            "Vanilla": 13.45,
            "Plus-Vanilla (S1)": 6.68,
            "Plus-Vanilla": 7.12,
        },
        "WenetSpeech test-net": {
            "Turbo": 23.97,
            "Vanilla": 17.34,
            "Plus-Vanilla (S1)": 6.59,
            "Plus-Vanilla": 6.90,
        },
    },
}


def paper_rows(table: int) -> list[PaperRow]:
    """All of VITA-Audio's numbers in a table.

    Raises:
        ValueError: the table is not one of 4 to 7.
    """
    if table == 4:
        ways = [(benchmark, way) for benchmark in _QUESTIONS for way in ("S -> T", "S -> S")]
        return [
            PaperRow(4, model, *way, percent)
            for model, numbers in _TABLE_4.items()
            for way, percent in zip(ways, numbers, strict=True)
        ]
    if table == 5:
        return [
            PaperRow(5, model, *text, percent)
            for model, numbers in _TABLE_5.items()
            for text, percent in zip(_TEXTS, numbers, strict=True)
        ]
    if table not in _SPEECH:
        raise ValueError(f"the paper's evaluation is in its Tables 4 to 7, not {table}")
    return [
        PaperRow(table, model, benchmark, "WER", percent)
        for benchmark, numbers in _SPEECH[table].items()
        for model, percent in numbers.items()
    ]
