"""Training data by epoch: JSONL files and sampling ratios in, packed rows out.

    >>> data = SpeechData(folder / "train", ratios_of(TOY_MIXTURE, stage=1), tokenizer, audio=codec, length=1024)
    >>> batch = collate(data.rows(epoch=0)[:8])
    >>> print(data.report)

The same seed and epoch give the same rows in the same order, in whatever process.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from labkit.audio.codec import Codec
from labkit.audio.io import AudioInputError
from labkit.data.audio_tokens import AudioTokens
from labkit.data.encoding import SampleEncoder
from labkit.data.faults import Faults, SampleError
from labkit.data.messages import Sample, read_samples
from labkit.data.mixture import epoch_order
from labkit.data.packing import EncodedSample, PackedRow, fill, pack, too_long
from labkit.interleave import MODES, InterleaveMode, mode
from labkit.vocabulary import IGNORE


@dataclass
class DatasetReport:
    """What an epoch takes from one dataset: samples in the file that are sound, draws from it, and what those hold."""

    samples: int
    drawn: int = 0
    tokens: int = 0
    targets: int = 0
    audio_hours: float = 0.0


@dataclass
class DataReport:
    """What an epoch holds.

    Attributes:
        datasets: by name.
        rows: number of packed rows.
        fill: share of their columns that are not padding.
        skipped: number of samples left out, by fault; the samples themselves are in `SpeechData.faults`.
    """

    datasets: dict[str, DatasetReport]
    rows: int = 0
    fill: float = 0.0
    skipped: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{'dataset':16}{'samples':>9}{'drawn':>9}{'tokens':>11}{'targets':>11}{'share':>8}{'audio':>9}"
        ]
        tokens = sum(each.tokens for each in self.datasets.values())
        for name, each in self.datasets.items():
            lines.append(
                f"{name:16}{each.samples:9,}{each.drawn:9,}{each.tokens:11,}{each.targets:11,}"
                f"{each.tokens / max(1, tokens):8.1%}{each.audio_hours:7.2f} h"
            )
        lines.append(f"{self.rows:,} rows, {self.fill:.1%} filled")
        lines += [f"skipped: {count} x {fault}" for fault, count in self.skipped.items()]
        return "\n".join(lines)


class SpeechData:
    """Samples of several datasets, mixed by their ratios and packed into rows.

    Reading, checking and tokenising audio happen when it is made; text is tokenised by the first epoch that draws it.

    Args:
        files: JSONL file by dataset name, or a folder that holds `<dataset>.jsonl` files.
        ratios: sampling ratio by dataset name; datasets without one are not even read.
        tokenizer: holds the special and audio tokens.
        audio: the codec, or its cache of audio tokens; None where nothing is spoken.
        said: the cache of audio tokens that assistants are to say; None for those of `audio`.
        modes: interleave modes, or their names. One of them is drawn for each spoken answer, anew in every epoch.
        length: columns of a packed row.
        seed: of all that is drawn.
        on_fault: "fail" at the first faulty sample, or "skip" them, counted and listed in `faults`.
        workers: threads that tokenise audio at the same time.

    Attributes:
        samples: by dataset, the sound ones.
        faults: every sample left out, and why.
        report: what the latest epoch held.

    Raises:
        FileNotFoundError: a dataset has a ratio but no file.
        SampleError: a sample is at fault and `on_fault` is "fail".
        ValueError: no ratios, no modes, or settings that do not fit each other.
    """

    def __init__(
        self,
        files: Mapping[str, Path] | str | Path,
        ratios: Mapping[str, float],
        tokenizer: PreTrainedTokenizerBase,
        *,
        audio: AudioTokens | Codec | None,
        length: int,
        said: AudioTokens | None = None,
        modes: Sequence[InterleaveMode | str] = tuple(MODES.values()),
        seed: int = 0,
        on_fault: str = "fail",
        workers: int = 1,
        progress: bool = True,
    ) -> None:
        if not isinstance(files, Mapping):
            files = {name: Path(files) / f"{name}.jsonl" for name in ratios}
        self.ratios = {name: ratio for name, ratio in ratios.items() if ratio}
        self.modes = tuple(mode(each) if isinstance(each, str) else each for each in modes)
        if not self.ratios or not self.modes:
            raise ValueError("training data needs at least one dataset with a ratio above 0, and one mode")
        if missing := self.ratios.keys() - files.keys():
            raise ValueError(f"there is a ratio but no file for {', '.join(sorted(missing))}")
        self.length, self.seed, self.progress = length, seed, progress
        self.faults = Faults(on_fault)
        self.audio = AudioTokens(audio) if isinstance(audio, Codec) else audio
        self.said = self.audio if said is None else said
        self.encoder = SampleEncoder(tokenizer, self.audio, self.said)
        self.samples = {name: read_samples(files[name], self.faults) for name in self.ratios}
        if self.audio is not None:
            self._tokenize_audio(workers)
        self.report = self._empty_report()

    def rows(self, epoch: int) -> list[PackedRow]:
        """The packed rows of an epoch, shuffled by the seed and the epoch.

        Raises:
            SampleError: a sample cannot be encoded or is longer than a row, and `on_fault` is "fail".
            ValueError: the epoch holds no sample at all.
        """
        sizes = {name: len(samples) for name, samples in self.samples.items()}
        order = epoch_order(sizes, self.ratios, self.seed, epoch)
        modes = random.Random(f"{self.seed}/{epoch}/modes").choices(self.modes, k=len(order))
        report, encoded = self._empty_report(), []
        picks = tqdm(order, desc="encoding samples", unit="sample", delay=2, disable=not self.progress)
        for (name, index), drawn_mode in zip(picks, modes, strict=True):
            try:
                sample = self.encoder.encode(self.samples[name][index], drawn_mode)
                if len(sample) > self.length:
                    raise too_long(sample, self.length)
            except SampleError as error:
                self.faults.add(error)
                continue
            encoded.append(sample)
            self._count(report.datasets[name], sample)
        if not encoded:
            raise ValueError(f"no sample is left to train on:\n{self.faults}")
        rows = pack(encoded, self.length)
        report.rows, report.fill, report.skipped = len(rows), fill(rows), self.faults.counts
        self.report = report
        return rows

    def _count(self, report: DatasetReport, sample: EncodedSample) -> None:
        report.drawn += 1
        report.tokens += len(sample)
        report.targets += int((sample.labels != IGNORE).sum())
        if self.audio is not None:
            spoken = int(self.encoder.vocabulary.is_audio(sample.input_ids).sum())
            report.audio_hours += spoken / self.audio.codec.token_rate / 3600

    def _empty_report(self) -> DataReport:
        datasets = {name: DatasetReport(len(samples)) for name, samples in self.samples.items()}
        return DataReport(datasets, skipped=self.faults.counts)

    def _tokenize_audio(self, workers: int) -> None:
        """Audio tokens of every sample, so that epochs wait for none; a sample whose audio is no audio is at fault."""
        users: dict[bool, dict[Path, list[Sample]]] = {False: {}, True: {}}
        for samples in self.samples.values():
            for sample in samples:
                for path, is_said in zip(sample.audios, sample.said, strict=True):
                    users[is_said].setdefault(path, []).append(sample)
        refused = set()

        def refuse(path: Path, error: AudioInputError) -> None:
            for sample in (*users[False].get(path, ()), *users[True].get(path, ())):
                if (sample.path, sample.line) not in refused:
                    self.faults.add(sample.error("unreadable audio", str(error)))
                    refused.add((sample.path, sample.line))

        for is_said, tokens in ((False, self.audio), (True, self.said)):
            tokens.prepare(users[is_said], refused=refuse, workers=workers, progress=self.progress)
        for name, samples in self.samples.items():
            self.samples[name] = [each for each in samples if (each.path, each.line) not in refused]
