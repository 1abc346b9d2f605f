"""``python -m labkit.data``: generates the toy speech corpus, or finds it in the cache, and says what is in it."""

from __future__ import annotations

import argparse
from collections import Counter

from labkit.data.corpus import Corpus, CorpusSpec, generate
from labkit.data.lexicon import vocabulary_words
from labkit.data.phonemes import LANGUAGES
from labkit.data.prosody import PROSODIES

LANGUAGE_NAMES = {"en": "English", "cmn": "Mandarin"}


def summary(corpus: Corpus) -> str:
    """Hours, utterances by kind and split, homographs by reading, and how far back the deciding word stands."""
    lines = [f"{len(corpus)} utterances, {corpus.seconds / 3600:.1f} hours, in {corpus.folder}"]
    for language in LANGUAGES:
        utterances = [corpus[i] for i in corpus.indices(language=language)]
        if not utterances:
            continue
        seconds = sum(utterance.seconds for utterance in utterances)
        marks = [utterance.homograph for utterance in utterances if utterance.homograph]
        lines += [
            "",
            f"{LANGUAGE_NAMES[language]}: {len(utterances)} utterances, {seconds / 3600:.1f} hours, "
            f"{len(vocabulary_words(language))} words in the grammar",
            _table("kind", Counter(utterance.kind for utterance in utterances)),
            _table("split", Counter(utterance.split for utterance in utterances)),
            _table("distance of the deciding word", Counter(mark.distance for mark in marks)),
            _table("reading", Counter(mark.reading for mark in marks)),
        ]
        if marks:
            share = sum(bool(mark.sense) for mark in marks) / len(marks)
            lines.append(f"  {share:.0%} of the homographs are followed by words of their sense")
    return "\n".join(lines)


def _table(name: str, counts: Counter) -> str:
    return f"  by {name}: " + ", ".join(f"{key} {count}" for key, count in sorted(counts.items()))


def main(typed: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m labkit.data", description=__doc__.partition(": ")[2])
    parser.add_argument("--sentences", type=int, default=CorpusSpec.sentences, help="training sentences")
    parser.add_argument("--seed", type=int, default=CorpusSpec.seed)
    parser.add_argument(
        "--prosody",
        choices=PROSODIES,
        default=CorpusSpec.prosody,
        help="varied, as the codec and its judge learn it, or even, as the toy language model does",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that speak at the same time")
    arguments = parser.parse_args(typed)
    spec = CorpusSpec(sentences=arguments.sentences, seed=arguments.seed, prosody=arguments.prosody)
    print(summary(generate(spec, workers=arguments.workers)))


if __name__ == "__main__":
    main()
