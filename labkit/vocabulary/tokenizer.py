"""Tokenizers that hold the whole id space: the toy's own, and Qwen2.5's extended as in the release."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from labkit.vocabulary.chat import ROLES
from labkit.vocabulary.layout import CHAT_SPECIALS, VocabularyError, audio_token, released_specials
from labkit.vocabulary.prompts import ASR, LUKE, TTS

# ChatML as the release uses it: no default system message.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# What may become one token: a single Chinese character (so that a homograph such as 行 keeps a token of its
# own), a word with the space before it, a digit, a run of punctuation, or white space.
WORD = r"[\p{L}\p{M}&&[^\p{Han}]]+"
PIECES = rf"\p{{Han}}| ?{WORD}(?:['’]{WORD})*|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+|\s+(?!\S)|\s+"

BYTES = 256


def train_toy_tokenizer(
    texts: Iterable[str], audio_tokens: int = 512, vocab_size: int = 4096, plus: bool = False
) -> PreTrainedTokenizerFast:
    """Train the toy's byte-level BPE and give it the special and audio tokens of the release.

    Bytes are the fallback, so any text is encodable, and nothing is normalized, so it decodes to exactly
    itself. Words and Chinese characters of ``texts`` become single tokens, most frequent first, as far as
    ``vocab_size`` goes.

    Args:
        texts: the corpus, one sentence or document per item; the release's prompts are added to it.
        audio_tokens: entries of the codec's codebook.
        vocab_size: the most text tokens to make, the 256 bytes included.
        plus: hold ``<|context_of_audio|>`` for continuous audio, as VITA-Audio-Plus does.

    Raises:
        VocabularyError: ``vocab_size`` leaves no room for the bytes, or there is no text.
    """
    if vocab_size < BYTES:
        raise VocabularyError(f"vocab_size must be at least {BYTES} to hold every byte, got {vocab_size}")
    texts = list(texts)
    if not any(texts):
        raise VocabularyError("there is no text to train a tokenizer on")
    texts += [LUKE, ASR, TTS, *ROLES]  # every prompt holds some of these
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=1,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer.add_tokens([AddedToken(name, special=True, normalized=False) for name in CHAT_SPECIALS])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    return extend_tokenizer(wrapped, audio_tokens, plus)


def extend_tokenizer(
    tokenizer: PreTrainedTokenizerBase, audio_tokens: int, plus: bool = False
) -> PreTrainedTokenizerBase:
    """Add the released special tokens and ``audio_tokens`` audio tokens after all others, in place.

    Also sets the release's chat template. Returns the tokenizer.

    Raises:
        VocabularyError: the tokenizer has some of these tokens already, or lacks the ChatML tokens.
    """
    present = tokenizer.get_vocab()
    missing = [name for name in CHAT_SPECIALS if name not in present]
    if missing:
        raise VocabularyError(
            f"not a ChatML tokenizer, it lacks {', '.join(missing)}. Start from a Qwen2.5 one."
        )
    names = released_specials(plus)
    clash = [name for name in (*names, audio_token(0)) if name in present]
    if clash:
        raise VocabularyError(f"this tokenizer is extended already, it holds {', '.join(clash)}")
    tokenizer.add_tokens(
        [AddedToken(name, special=True, normalized=False) for name in names], special_tokens=True
    )
    tokenizer.add_tokens(
        [AddedToken(audio_token(code), special=False, normalized=False) for code in range(audio_tokens)]
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def load_tokenizer(path_or_hub_id: str | Path) -> PreTrainedTokenizerBase:
    """Load a tokenizer from a folder or, where there is no such folder, from the hub.

    Raises:
        FileNotFoundError: neither a folder with a tokenizer nor a hub id that can be reached or is cached.
    """
    try:
        # All there is to know stands in this file, whatever model lies beside it.
        if (Path(path_or_hub_id) / "tokenizer.json").is_file():
            return PreTrainedTokenizerFast.from_pretrained(str(path_or_hub_id))
        return AutoTokenizer.from_pretrained(str(path_or_hub_id), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"no tokenizer at {str(path_or_hub_id)!r}: it is neither a folder holding tokenizer.json nor a "
            "hub id that can be reached from here."
        ) from error
