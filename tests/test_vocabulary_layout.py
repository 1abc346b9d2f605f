"""The id space: the released order, and what each id means."""

import numpy as np
import pytest
import torch

from labkit.vocabulary import Vocabulary, VocabularyError, released_vocabulary
from labkit.vocabulary.layout import CHAT_SPECIALS, released_specials


def test_released_ids_of_boost_and_balance() -> None:
    vocabulary = released_vocabulary()
    assert vocabulary.special("endoftext") == 151643
    assert (vocabulary.im_start, vocabulary.im_end) == (151644, 151645)
    assert vocabulary.special("file_sep") == 151664
    assert [vocabulary.special(f"{part}_of_image") for part in ("begin", "end", "context")] == [
        151665,
        151666,
        151667,
    ]
    assert vocabulary.special("begin_of_video") == 151668
    assert vocabulary.special("begin_of_patch") == 151671
    assert (vocabulary.begin_of_audio, vocabulary.end_of_audio) == (151674, 151675)
    assert vocabulary.special("begin_of_quad") == 151676
    assert vocabulary.special("end_of_box") == 151681
    assert [vocabulary.special(tag) for tag in ("image", "video", "audio")] == [151682, 151683, 151684]
    assert vocabulary.context_of_audio is None
    assert (vocabulary.audio_id(0), vocabulary.audio_id(16383)) == (151685, 168068)
    assert vocabulary.padded_size == 168072


def test_released_ids_of_plus() -> None:
    vocabulary = released_vocabulary(plus=True)
    assert (vocabulary.end_of_audio, vocabulary.context_of_audio) == (151675, 151676)
    assert vocabulary.special("audio") == 151685
    assert vocabulary.audio_id(0) == 151686
    assert vocabulary.padded_size == 168072


def test_twenty_special_tokens_are_added() -> None:
    assert len(released_specials()) == 20
    assert len(released_specials(plus=True)) == 21


@pytest.mark.parametrize("plus", [False, True])
def test_masks_part_the_ids(plus: bool) -> None:
    vocabulary = released_vocabulary(plus)
    ids = torch.arange(-1, vocabulary.padded_size + 1)
    masks = torch.stack([vocabulary.is_text(ids), vocabulary.is_special(ids), vocabulary.is_audio(ids)])
    inside = (ids >= 0) & (ids < vocabulary.size)
    assert torch.equal(masks.sum(0), inside.long())
    assert masks.sum(1).tolist() == [151643, 42 + plus, 16384]


def test_masks_keep_the_shape_and_take_plain_ints() -> None:
    vocabulary = released_vocabulary()
    ids = torch.tensor([[5, 151645], [151685, 168071]])
    assert vocabulary.is_audio(ids).tolist() == [[False, False], [True, False]]
    assert vocabulary.is_special(np.array([151645])).tolist() == [True]
    assert vocabulary.is_text(5) is True


def test_codes_and_ids_are_inverse() -> None:
    vocabulary = released_vocabulary()
    codes = [0, 1, 16383]
    assert vocabulary.audio_codes(vocabulary.audio_ids(codes)) == codes
    assert vocabulary.audio_ids(torch.tensor(codes)) == [151685, 151686, 168068]


@pytest.mark.parametrize("code", [-1, 16384])
def test_codes_outside_the_codebook_are_refused(code: int) -> None:
    with pytest.raises(VocabularyError, match="outside the codebook of 16384"):
        released_vocabulary().audio_id(code)


@pytest.mark.parametrize("token", [151684, 168069, 3])
def test_other_ids_have_no_code(token: int) -> None:
    with pytest.raises(VocabularyError, match="not an audio token"):
        released_vocabulary().audio_code(token)


def test_unknown_special_lists_the_known_ones() -> None:
    with pytest.raises(VocabularyError, match=r"<\|im_end\|>"):
        released_vocabulary().special("im_stop")


def test_layout_with_a_gap_is_refused() -> None:
    names = (*CHAT_SPECIALS, *released_specials())
    ids = {name: 100 + 2 * i for i, name in enumerate(names)}
    with pytest.raises(VocabularyError, match="without gap"):
        Vocabulary(100, ids, 8)


def test_layout_needs_the_audio_tags_and_an_audio_token() -> None:
    with pytest.raises(VocabularyError, match="begin_of_audio"):
        Vocabulary.of(100, CHAT_SPECIALS, 8)
    with pytest.raises(VocabularyError, match="at least one audio token"):
        Vocabulary.of(100, (*CHAT_SPECIALS, *released_specials()), 0)
