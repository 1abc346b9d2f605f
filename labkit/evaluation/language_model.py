"""A bigram language model of the corpus' words, written as the ARPA file that pocketsphinx reads."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

_START, _END = "<s>", "</s>"


def write_bigram_model(
    sentences: Iterable[Sequence[str]], path: Path, *, unigram_share: float = 0.2
) -> set[str]:
    """Write an interpolated bigram model of `sentences` (each a sequence of words); returns its words.

    Witten-Bell smoothing (Witten and Bell, 1991): a word followed by many different words leaves more room for one
    it was never seen with. On top of it `unigram_share` of every context goes to the unigrams, since a judge that
    had learned the grammar by heart would hear what should have been said, not what was.

    Raises:
        ValueError: if there is not one word.
    """
    unigrams: Counter[str] = Counter()
    followers: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for sentence in sentences:
        words = [_START, *sentence, _END]
        unigrams.update(words[1:])
        for first, second in pairwise(words):
            followers[first][second] += 1
    if not unigrams.keys() - {_END}:
        raise ValueError("a language model needs at least one word of text")
    total = unigrams.total()
    chance = {word: count / total for word, count in unigrams.items()}

    pairs, backoff = [], {}
    for first, after in sorted(followers.items()):
        kept = (1 - unigram_share) * after.total() / (after.total() + len(after))
        backoff[first] = 1 - kept
        for second, count in sorted(after.items()):
            # Interpolated: the unigram's share is part of the listed pair; ARPA's back-off covers only unlisted ones.
            pairs.append((first, second, kept * count / after.total() + (1 - kept) * chance[second]))
    lines = ["\\data\\", f"ngram 1={len(chance) + 1}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    for word in sorted({*chance, _START}):
        log = _log10(chance[word]) if word in chance else -99.0
        lines.append(f"{log:.4f}\t{word}\t{_log10(backoff.get(word, 1.0)):.4f}")
    lines += ["", "\\2-grams:", *(f"{_log10(p):.4f}\t{first} {second}" for first, second, p in pairs)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")
    return set(chance) - {_END}


def _log10(probability: float) -> float:
    return math.log10(max(probability, 1e-9))
