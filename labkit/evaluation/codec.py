"""What a codec keeps of speech, judged by others: `python -m labkit.evaluation.codec`.

Every held-out utterance is listened to before and after the codec, at several numbers of Euler steps: phoneme errors
and homograph readings by the phoneme judge, word errors by pocketsphinx, and two distances between spectra. The same
judge's numbers on the originals stand beside each: a judge cannot rate a copy above its own ceiling.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from labkit.audio.codec import Codec
from labkit.audio.features import FrameSettings, log_mel
from labkit.audio.griffin_lim import griffin_lim
from labkit.audio.toy import ToyCodec
from labkit.data.corpus import Corpus, CorpusSpec, Utterance, generate
from labkit.data.phonemes import LANGUAGES, SILENCE
from labkit.evaluation.cards import write_cards
from labkit.evaluation.outputs import output_file
from labkit.evaluation.rates import edits
from labkit.evaluation.reading import judge_reading
from labkit.evaluation.recogniser import PhonemeJudge
from labkit.evaluation.words import WordJudge, english_word_judge
from labkit.paths import weights_folder
from labkit.statistics import Estimate, mean, proportion, ratio
from labkit.training.codec import multi_resolution_distance

STEPS = (1, 2, 5, 10)
ORIGINAL = 0
"""In place of a number of steps: the original, before the codec."""


@dataclass(frozen=True)
class Row:
    """One utterance, at one number of Euler steps (`ORIGINAL` for none)."""

    language: str
    steps: int
    phonemes: int
    phoneme_errors: int
    words: int = 0
    word_errors: int = 0
    right_reading: bool | None = None
    mel_distance: float = 0.0
    spectral_distance: float = 0.0


@dataclass
class CodecScores:
    """Rows of an evaluation, and the numbers they add up to."""

    rows: list[Row] = field(default_factory=list)

    def of(self, language: str, steps: int) -> list[Row]:
        """A language's rows after that many Euler steps, `ORIGINAL` for the recordings themselves."""
        return [row for row in self.rows if row.language == language and row.steps == steps]

    def phoneme_error(self, language: str, steps: int) -> Estimate:
        """Errors of the phoneme judge per phoneme that was said."""
        rows = self.of(language, steps)
        return ratio([row.phoneme_errors for row in rows], [row.phonemes for row in rows])

    def word_error(self, language: str, steps: int) -> Estimate:
        """Errors of the word judge per word that was said, where it listened."""
        rows = [row for row in self.of(language, steps) if row.words]
        return ratio([row.word_errors for row in rows], [row.words for row in rows])

    def extra_word_error(self, language: str, steps: int) -> Estimate:
        """Word error rate above that of the originals, utterance by utterance."""
        pairs = zip(self.of(language, ORIGINAL), self.of(language, steps), strict=True)
        judged = [(before, after) for before, after in pairs if after.words]
        return ratio(
            [after.word_errors - before.word_errors for before, after in judged],
            [after.words for _, after in judged],
        )

    def reading_accuracy(self, language: str, steps: int) -> Estimate:
        """Share of homographs that the phoneme judge hears in the reading that was said."""
        verdicts = [row.right_reading for row in self.of(language, steps) if row.right_reading is not None]
        return proportion(sum(verdicts), len(verdicts))

    def distance(self, language: str, steps: int, which: str = "mel_distance") -> Estimate:
        """Mean spectral distance from the original, `mel_distance` or `spectral_distance` of a row."""
        return mean([getattr(row, which) for row in self.of(language, steps)])

    def table(self) -> list[dict]:
        """One tidy row for each language, number of steps and measure, with its 95% interval."""
        table = []
        for language in sorted({row.language for row in self.rows}):
            for steps in sorted({row.steps for row in self.rows}):
                rows = self.of(language, steps)
                measures = {"phoneme error rate": self.phoneme_error(language, steps)}
                if any(row.words for row in rows):
                    measures["word error rate (pocketsphinx)"] = self.word_error(language, steps)
                    if steps != ORIGINAL:
                        measures["word error rate above the originals'"] = self.extra_word_error(
                            language, steps
                        )
                if any(row.right_reading is not None for row in rows):
                    measures["homograph reading accuracy"] = self.reading_accuracy(language, steps)
                if steps != ORIGINAL:
                    measures["log-mel distance"] = self.distance(language, steps)
                    measures["multi-resolution STFT distance"] = self.distance(
                        language, steps, "spectral_distance"
                    )
                table += [
                    {"language": language, "steps": steps or "original", "measure": name} | estimate._asdict()
                    for name, estimate in measures.items()
                ]
        return table


def evaluate_codec(
    codec: Codec,
    judge: PhonemeJudge,
    utterances: Iterable[tuple[Utterance, Utterance | None]],
    *,
    word_judge: WordJudge | None = None,
    word_judged: int = 500,
    steps: Sequence[int] = STEPS,
    total: int | None = None,
) -> CodecScores:
    """Listen to utterances before and after the codec.

    Args:
        utterances: each with its minimal pair where it has one (that pair's reading is then the alternative).
        word_judge: if given, listens to the English ones too, but for random words (coverage), which no language
            model of the corpus knows.
        word_judged: to at most so many of them, since it takes a second for each sound.
        total: how many utterances there are, for the progress bar.
    """
    scores = CodecScores()
    for utterance, partner in tqdm(utterances, total=total, desc="judging the codec", unit="utterance"):
        original = torch.from_numpy(utterance.waveform)
        tokens = codec.encode(original, utterance.sample_rate)
        by_words = utterance.language == "en" and utterance.kind != "coverage" and word_judged > 0
        word_judged -= by_words
        heard = {ORIGINAL: original} | {count: codec.decode(tokens, count) for count in steps}
        for count, waveform in heard.items():
            # Of the decodes, pocketsphinx hears the finest alone.
            listens = word_judge if by_words and count in (ORIGINAL, max(steps)) else None
            scores.rows.append(_judge(utterance, partner, original, waveform, codec, judge, listens, count))
    return scores


def _judge(
    utterance: Utterance,
    partner: Utterance | None,
    original: torch.Tensor,
    waveform: torch.Tensor,
    codec: Codec,
    judge: PhonemeJudge,
    word_judge: WordJudge | None,
    steps: int,
) -> Row:
    meant = [phoneme.symbol for phoneme in utterance.phonemes if phoneme.symbol != SILENCE]
    heard = judge.hear(waveform, codec.sample_rate, utterance.language)
    right = None
    if partner is not None:
        candidates = reading_candidates(utterance, partner)
        verdict = judge_reading(heard, candidates)
        right = verdict.reading == utterance.homograph.reading
    words = word_errors = 0
    if word_judge is not None:
        said = [word.lower() for word in utterance.sentence.words]
        words = len(said)
        word_errors = edits(said, word_judge.hear(waveform, codec.sample_rate).words)
    return Row(
        utterance.language,
        steps,
        len(meant),
        edits(meant, heard.phonemes),
        words,
        word_errors,
        right,
        *(spectral_distances(waveform, original) if steps != ORIGINAL else (0.0, 0.0)),
    )


def reading_candidates(utterance: Utterance, partner: Utterance) -> dict[str, list[str]]:
    """Phonemes of the whole utterance with its own reading of the homograph, and with its minimal pair's."""
    place = utterance.homograph.index
    own = [phoneme for phoneme in utterance.phonemes if phoneme.symbol != SILENCE]
    before = [phoneme.symbol for phoneme in own if phoneme.word < place]
    after = [phoneme.symbol for phoneme in own if phoneme.word > place]
    return {
        each.homograph.reading: [
            *before,
            *(p.symbol for p in each.phonemes if p.word == place and p.symbol != SILENCE),
            *after,
        ]
        for each in (utterance, partner)
    }


def spectral_distances(made: torch.Tensor, original: torch.Tensor) -> tuple[float, float]:
    """Mean absolute log-mel difference (nepers) and multi-resolution STFT distance of two waveforms `(samples,)`.

    Over the whole frames that both have; the codec's is the longer by up to a token of silence.
    """
    settings = FrameSettings()
    length = min(len(made), len(original)) // settings.hop * settings.hop
    made, original = made[None, :length], original[None, :length]
    mel = (log_mel(made, settings) - log_mel(original, settings)).abs().mean()
    return float(mel), float(multi_resolution_distance(made, original))


def held_out(
    corpus: Corpus,
    language: str,
    count: int,
    others: Sequence[str] = ("plain", "coverage"),
    split: str = "test",
) -> list[tuple[Utterance, Utterance | None]]:
    """`count` held-out utterances of a language, half of them, or more, homographs with their minimal pairs.

    Args:
        others: kinds of sentence that make up the other half.
        split: "test", whose homographs are the corpus' probes, or "validation", to choose models by.

    Raises:
        ValueError: if the corpus has fewer.
    """
    if split == "test":
        pairs = [pair for both in corpus.probes(language) for pair in (both, both[::-1])]
    else:
        homographs = (corpus[i] for i in corpus.indices(language=language, split=split, kind="homograph"))
        pairs = [(each, corpus[each.partner]) for each in homographs if each.partner is not None]
    rest = [(corpus[i], None) for i in corpus.indices(language=language, split=split, kind=others)]
    half = min(len(rest), count // 2)
    if len(pairs) < count - half:
        raise ValueError(
            f"the corpus has {len(pairs)} probes and {len(rest)} other {split} utterances in {language}"
        )
    return [*pairs[: count - half], *rest[:half]]


def vocoder_against_griffin_lim(codec: ToyCodec, waveforms: Sequence[torch.Tensor]) -> dict[str, Estimate]:
    """Both ways back from *true* log-mels, so that only the vocoder is compared.

    Returns log-mel and multi-resolution STFT distances of each, and the paired difference (Griffin-Lim's minus the
    vocoder's: above zero, the vocoder is the closer one).
    """
    distances: dict[str, list[tuple[float, float]]] = {"vocoder": [], "Griffin-Lim": []}
    for waveform in tqdm(waveforms, desc="vocoder against Griffin-Lim", unit="utterance"):
        normal = codec.mel(waveform, codec.sample_rate)[None]
        generator = torch.Generator().manual_seed(0)
        with torch.inference_mode():
            made = {
                "vocoder": codec.vocoder(normal, generator)[0],
                "Griffin-Lim": griffin_lim(codec.denormalise(normal), codec.frames, generator)[0],
            }
        for name, sound in made.items():
            distances[name].append(spectral_distances(sound, waveform))
    results = {}
    for place, measure in enumerate(("log-mel distance", "multi-resolution STFT distance")):
        by_name = {name: [pair[place] for pair in pairs] for name, pairs in distances.items()}
        results |= {f"{measure}, {name}": mean(values) for name, values in by_name.items()}
        gaps = [a - b for a, b in zip(by_name["Griffin-Lim"], by_name["vocoder"], strict=True)]
        results[f"{measure}, difference"] = mean(gaps)
    return results


def speed(codec: Codec, waveform: torch.Tensor, *, repeats: int = 5) -> dict[str, float]:
    """Seconds of computing on one thread per second of speech; medians of `repeats`.

    "first chunk" is the time from pushing the first eight tokens to having their sound, over the 0.64 s that they last.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tokens = codec.encode(waveform, codec.sample_rate)
        seconds = len(waveform) / codec.sample_rate
        return {
            "encode": _median_seconds(lambda: codec.encode(waveform, codec.sample_rate), repeats) / seconds,
            "decode, 10 steps": _median_seconds(lambda: codec.decode(tokens, 10), repeats) / seconds,
            "decode, 1 step": _median_seconds(lambda: codec.decode(tokens, 1), repeats) / seconds,
            "first chunk": _median_seconds(lambda: codec.stream().push(tokens[:8]), 4 * repeats)
            / (8 / codec.token_rate),
        }
    finally:
        torch.set_num_threads(threads)


def _median_seconds(call: Callable[[], object], repeats: int) -> float:
    call()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _score_language(language: str, count: int, word_judged: int, codec: Path, judge: Path) -> list[Row]:
    torch.set_num_threads(1)
    chosen = held_out(generate(CorpusSpec()), language, count)
    words = english_word_judge() if language == "en" else None
    network = PhonemeJudge.load(judge)
    scores = evaluate_codec(
        ToyCodec.load(codec), network, chosen, word_judge=words, word_judged=word_judged, total=len(chosen)
    )
    return scores.rows


def _long_speech_memory(folder: Path) -> float:
    """Peak memory in MB of a process that encodes and decodes ten minutes, over what it took before."""
    import resource  # which Windows lacks; nothing else here should

    torch.set_num_threads(1)
    codec = ToyCodec.load(folder)
    speech = 0.1 * torch.randn(600 * codec.sample_rate, generator=torch.Generator().manual_seed(0))
    codec.decode(codec.encode(speech[: 10 * codec.sample_rate], codec.sample_rate))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    codec.decode(codec.encode(speech, codec.sample_rate))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round((peak - before) * 1024 / 1e6)


def score_codec(codec: Path, judge: Path, *, utterances: int, word_judged: int) -> dict[str, Any]:
    """All numbers of a codec, ready for JSON: of its sound, its vocoder, its speed and its memory.

    Args:
        codec, judge: folders of their weights.
        utterances: held-out ones, in each language.
        word_judged: of the English ones, how many pocketsphinx hears too.
    """
    corpus, scores = generate(CorpusSpec()), CodecScores()
    # A process for each language: pocketsphinx and the small networks gain nothing from more threads.
    with ProcessPoolExecutor(len(LANGUAGES), mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(_score_language, language, utterances, word_judged, codec, judge)
            for language in LANGUAGES
        ]
        for part in parts:
            scores.rows += part.result()
        memory = pool.submit(_long_speech_memory, codec).result()
    loaded = ToyCodec.load(codec)
    chosen = [each for language in LANGUAGES for each in held_out(corpus, language, utterances)]
    sounds = [torch.from_numpy(utterance.waveform) for utterance, _ in chosen[::10]]
    versus = vocoder_against_griffin_lim(loaded, sounds)
    return {
        "table": scores.table(),
        "vocoder": {name: estimate._asdict() for name, estimate in versus.items()},
        "speed": speed(loaded, torch.cat(sounds[:5])),
        "peak megabytes for ten minutes of speech": memory,
    }


def main(arguments: list[str] | None = None) -> None:
    """Score a codec and write the numbers; beside the weights also the cards of codec and judge, which show them."""
    parser = argparse.ArgumentParser(prog="python -m labkit.evaluation.codec", description=__doc__)
    parser.add_argument("--utterances", type=int, default=500, help="held-out utterances in each language")
    parser.add_argument(
        "--word-judged", type=int, default=500, help="of them, how many pocketsphinx hears too"
    )
    parser.add_argument("--codec", type=Path, default=weights_folder() / "toy-codec")
    parser.add_argument("--judge", type=Path, default=weights_folder() / "phoneme-judge")
    parser.add_argument(
        "--out",
        type=output_file,
        help="where to write the numbers; default: scores.json beside the codec, and both cards with it",
    )
    options = parser.parse_args(arguments)
    report = score_codec(
        options.codec, options.judge, utterances=options.utterances, word_judged=options.word_judged
    )
    beside = options.codec / "scores.json"
    out = options.out or beside
    out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if out.resolve() == beside.resolve():
        spec = CorpusSpec()
        hours = generate(spec).seconds / 3600
        write_cards(options.codec, options.judge, report, sentences=spec.sentences, hours=hours)
    for row in report["table"]:
        print(
            "{language:4} {steps!s:>9} {measure:32} {value:.4f} [{low:.4f}, {high:.4f}] n={n}".format(**row)
        )
    for name, estimate in report["vocoder"].items():
        print(f"{name:55} {estimate['value']:.4f} [{estimate['low']:.4f}, {estimate['high']:.4f}]")


if __name__ == "__main__":
    main()
