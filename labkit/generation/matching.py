"""Whether a model, its tokenizer and its codec were made for each other."""

from labkit.audio.codec import SpeechTokenizer
from labkit.model import SpeechLM
from labkit.vocabulary import Vocabulary

MOST_SPARE_ROWS = 512  # rows that a model may have beyond its tokenizer's ids, from padding


def check_match(model: SpeechLM, vocabulary: Vocabulary, codec: SpeechTokenizer) -> None:
    """Refuse parts that do not belong together, before they make nonsense.

    Args:
        model: with a row of embedding and head for each id.
        vocabulary: the tokenizer's id space.
        codec: whose codebook entries the audio tokens are.

    Raises:
        ValueError: the codec's codebook is not the tokenizer's, or the tokenizer's ids are not the model's rows.
    """
    if vocabulary.audio_count != codec.size:
        raise ValueError(
            f"the tokenizer has {vocabulary.audio_count} audio tokens, the codec {codec.size}: this model learned "
            "another codec's tokens; give the codec that it was trained with"
        )
    rows = model.config.vocab_size
    if not vocabulary.size <= rows < vocabulary.size + MOST_SPARE_ROWS:
        raise ValueError(
            f"the tokenizer has {vocabulary.size} ids, the model {rows} rows; give the tokenizer that lies beside "
            "the model"
        )
