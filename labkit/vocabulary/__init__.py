"""One id space for text, special tokens and audio tokens; masks by modality; chats as ids."""

from labkit.vocabulary.chat import IGNORE, AudioContext, Chat, ChatError, EncodedChat
from labkit.vocabulary.layout import Vocabulary, VocabularyError, audio_token, released_vocabulary
from labkit.vocabulary.tokenizer import extend_tokenizer, load_tokenizer, train_toy_tokenizer

__all__ = [
    "IGNORE",
    "AudioContext",
    "Chat",
    "ChatError",
    "EncodedChat",
    "Vocabulary",
    "VocabularyError",
    "audio_token",
    "extend_tokenizer",
    "load_tokenizer",
    "released_vocabulary",
    "train_toy_tokenizer",
]
