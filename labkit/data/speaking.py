"""Speaks a planned corpus in parts, by several processes, so that an interruption costs a few seconds of work."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from labkit.data.beat import speak_on_beat
from labkit.data.espeak import SAMPLE_RATE, SpokenWord, Synthesizer
from labkit.data.plan import CorpusSpec, Planned, plan

PART = 100
"""Utterances written at a time."""


def speak_parts(spec: CorpusSpec, folder: Path, *, workers: int, progress: bool) -> int:
    """Writes every missing part of the corpus into the folder; returns their number."""
    total = len(plan(spec))
    parts = -(-total // PART)
    with tqdm(total=total, desc="speaking the corpus", unit="sentence", disable=not progress) as bar:
        if workers > 1 and parts > 2:  # for less, starting processes costs more than it saves
            _in_processes(spec, folder, workers, bar)
        else:
            for part in range(parts):
                write_part(spec, folder, part)
                bar.update(min(PART, total - bar.n))
    return parts


def write_part(spec: CorpusSpec, folder: Path, part: int) -> None:
    """Speaks one part unless it is there. Its index appears last and at once: where it stands, the part is whole."""
    index = folder / f"part-{part:05d}.jsonl"
    if index.exists():
        return
    lines, audio = [], []
    for planned in plan(spec)[part * PART : (part + 1) * PART]:
        record, samples = _speak(planned)
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
        audio.append(samples)
    replace_bytes(index.with_suffix(".i16"), np.concatenate(audio).tobytes())
    replace_bytes(index, "".join(lines).encode())


def replace_bytes(path: Path, content: bytes) -> None:
    """Writes a file that is there whole or not at all, whoever else may be writing it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _speak(planned: Planned) -> tuple[dict, np.ndarray]:
    """The index line, its phonemes as [symbol, first sample, stress, word], and the waveform, (samples,) int16."""
    sentence, prosody = planned.sentence, planned.prosody
    spoken = [
        SpokenWord(*word)
        for word in zip(sentence.words, sentence.readings, prosody.word_rates, prosody.pauses, strict=True)
    ]
    synthesizer = Synthesizer(sentence.language, planned.voice, rate=prosody.rate)
    silences = {"lead": prosody.lead, "tail": prosody.tail}
    if prosody.beat is None:
        speech = synthesizer.speak(spoken, **silences)
    else:
        speech = speak_on_beat(synthesizer, spoken, **silences, beat=prosody.beat)
    record = dataclasses.asdict(sentence) | {
        "voice": planned.voice,
        "partner": planned.partner,
        "samples": len(speech.waveform),
        "phonemes": [[p.symbol, round(p.start * SAMPLE_RATE), p.stress, p.word] for p in speech.phonemes],
    }
    return record, (speech.waveform * 32768).astype(np.int16)


def _in_processes(spec: CorpusSpec, folder: Path, workers: int, bar: tqdm) -> None:
    """Processes of our own rather than multiprocessing, which cannot start from a console or a piped script."""
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        __name__,
        json.dumps(dataclasses.asdict(spec)),
        str(folder),
        str(workers),
    ]
    processes = [
        subprocess.Popen([*command, str(worker)], env=environment, stderr=subprocess.PIPE, text=True)
        for worker in range(workers)
    ]
    try:
        while any(process.poll() is None for process in processes):
            if any(process.poll() for process in processes):
                break
            time.sleep(0.2)
            bar.update(min(len(list(folder.glob("part-*.jsonl"))) * PART, bar.total) - bar.n)
        failed = next((process for process in processes if process.poll()), None)
    finally:
        for process in processes:
            process.terminate()
    if failed is not None:
        errors = failed.stderr.read()
        raise RuntimeError(
            f"a process that spoke the corpus failed; start again to go on from there:\n{errors}"
        )


def _worker(settings: str, folder: str, workers: str, worker: str) -> None:
    """Every `workers`-th part, beginning with number `worker`."""
    loaded = json.loads(settings)
    voices = tuple((language, tuple(names)) for language, names in loaded["voices"])
    spec = CorpusSpec(**loaded | {"languages": tuple(loaded["languages"]), "voices": voices})
    for part in range(int(worker), -(-len(plan(spec)) // PART), int(workers)):
        write_part(spec, Path(folder), part)


if __name__ == "__main__":
    _worker(*sys.argv[1:])
