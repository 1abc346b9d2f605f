"""An utterance's words as a tokenizer has them: what an experiment on single words needs with the release's tokenizer.

The toy's tokenizer keeps words, and Chinese characters, apart. Qwen2.5's does not: 一行 is one token, the very one of
the paper's Fig. 1b. Where a token reaches across two words, they are taken for one here.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from labkit.data.corpus import Utterance
from labkit.data.sentences import Homograph, join_words
from labkit.vocabulary.prompts import TTS

CONTEXTS = ("", f"user\n{TTS}")
"""What stands before the text where it is tokenized: nothing in the answer, the instruction in the prompt."""


def as_tokenized(utterance: Utterance, tokenizer: PreTrainedTokenizerBase) -> Utterance:
    """The utterance with words joined wherever one of their tokens reaches across; itself if none does.

    The homograph is then the joined word that it stands in. Its deciding words are those outside of that; there may be
    none left.
    """
    groups = _groups(utterance.sentence.words, utterance.language, tokenizer)
    if all(len(group) == 1 for group in groups):
        return utterance
    place = {word: number for number, group in enumerate(groups) for word in group}
    sentence = utterance.sentence
    joined = replace(
        sentence,
        words=tuple(
            join_words([sentence.words[word] for word in group], utterance.language) for group in groups
        ),
        readings=(None,) * len(groups),  # how it was to be spoken; it has been
        homograph=_moved(sentence.homograph, place, groups, utterance.language),
    )
    words = [(utterance.words[group[0]], utterance.words[group[-1]]) for group in groups]
    return replace(
        utterance,
        sentence=joined,
        words=tuple(
            replace(first, text=text, end=last.end)
            for (first, last), text in zip(words, joined.words, strict=True)
        ),
        phonemes=tuple(replace(each, word=place.get(each.word, each.word)) for each in utterance.phonemes),
    )


def _groups(words: tuple[str, ...], language: str, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Words that share a token, in either context."""
    text, gap = join_words(words, language), len(join_words(("", ""), language))
    ends = [end - gap for end in accumulate(len(word) + gap for word in words)]
    crossed: set[int] = set()  # words whose last token goes on into the next
    for before in CONTEXTS:
        encoded = tokenizer(before + text, add_special_tokens=False, return_offsets_mapping=True)
        for start, stop in encoded["offset_mapping"]:
            crossed |= {word for word, end in enumerate(ends) if start < len(before) + end < stop}
    groups: list[list[int]] = []
    for word in range(len(words)):
        if word and word - 1 in crossed:
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _moved(
    homograph: Homograph | None, place: dict[int, int], groups: list[list[int]], language: str
) -> Homograph | None:
    if homograph is None:
        return None
    index = place[homograph.index]

    def others(words: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted({place[word] for word in words} - {index}))

    # The minimal pair's words are joined as these are, so that they can be put in their place.
    partner = homograph.partner
    if len(partner) == len(place):
        partner = tuple(join_words([partner[word] for word in group], language) for group in groups)
    return replace(
        homograph,
        index=index,
        deciding=others(homograph.deciding),
        sense=others(homograph.sense),
        partner=partner,
    )
