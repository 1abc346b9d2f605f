"""Messages and audio as ids: ChatML around text, ``<|audio|>`` replaced by audio tokens between their tags.

A conversation is written as in the release's data files, with one ``<|audio|>`` per audio, in order:

    messages = [{"role": "user", "content": "Convert the speech to text.\\n<|audio|>"},
                {"role": "assistant", "content": "hello"}]

Text is tokenized between special tokens only, exactly as ``tokenizer.apply_chat_template`` does it when the
release is run. (The release's training code tokenizes the newline after the role apart from the content;
that differs only where a content starts with a newline.)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from labkit.vocabulary.layout import Vocabulary

ROLES = ("system", "user", "assistant")
AUDIO_TAG = "<|audio|>"
IGNORE = -100  # a label that is no target, as in torch.nn.functional.cross_entropy

Arrange = Callable[[list[int], list[int]], list[int]]


class ChatError(ValueError):
    """A conversation that cannot be turned into ids; the message says where and what to do."""


@dataclass(frozen=True)
class AudioContext:
    """Continuous audio of a VITA-Audio-Plus prompt: placeholders that the audio adapter's ``rows`` overwrite.

    Raises:
        ChatError: there is not at least one row.
    """

    rows: int

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ChatError(f"continuous audio has at least one row, got {self.rows}")


@dataclass(frozen=True)
class EncodedChat:
    """A conversation as ids.

    Attributes:
        input_ids: (time,), one id per token.
        labels: (time,), the id where it is a training target, else -100. Targets are what the assistant says
            and the ``<|im_end|>`` after it.
        context_spans: ``(start, stop)`` of each run of ``<|context_of_audio|>`` placeholders.
    """

    input_ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    context_spans: list[tuple[int, int]] = field(default_factory=list)

    def _append(self, ids: Sequence[int], target: bool = False) -> None:
        self.input_ids.extend(ids)
        self.labels.extend(ids if target else [IGNORE] * len(ids))


class Chat:
    """Encodes conversations with one tokenizer.

    Args:
        tokenizer: a tokenizer that holds the special and audio tokens.
        arrange: how an assistant's text and audio tokens are put into one sequence,
            ``arrange(text_ids, audio_ids) -> ids``: for speech to speech and TTS,
            `labkit.interleave.interleave` with a mode bound to it. By default they stay as they are written.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, arrange: Arrange | None = None) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = Vocabulary.from_tokenizer(tokenizer)
        self.arrange = arrange

    def encode(
        self,
        messages: Sequence[Mapping[str, str]],
        audios: Sequence[Sequence[int] | AudioContext] = (),
        add_generation_prompt: bool = False,
    ) -> EncodedChat:
        """Turn messages and audios into ids and labels.

        Args:
            messages: ``{"role": ..., "content": ...}`` in order; a system message may come first.
            audios: for each ``<|audio|>``, in order, its codebook entries or, in a prompt, an `AudioContext`.
            add_generation_prompt: open an assistant message at the end, for the model to continue.

        Raises:
            ChatError: a role or content that is not allowed, or audios that do not match the ``<|audio|>``
                tags.
        """
        self._check(messages, audios)
        unused = iter(audios)
        chat = EncodedChat()
        for number, message in enumerate(messages):
            head, *rest = message["content"].split(AUDIO_TAG)
            own = [next(unused) for _ in rest]
            if message["role"] == "assistant":
                self._assistant(chat, number, head, rest, own)
            else:
                self._prompt(chat, number, message["role"], head, rest, own)
            chat._append(self._text("\n", number))
        if add_generation_prompt:
            chat._append([self.vocabulary.im_start, *self._text("assistant\n", len(messages))])
        return chat

    def _prompt(
        self, chat: EncodedChat, number: int, role: str, head: str, rest: list[str], own: list
    ) -> None:
        vocabulary = self.vocabulary
        chat._append([vocabulary.im_start, *self._text(f"{role}\n{head}", number)])
        for text, audio in zip(rest, own, strict=True):
            chat._append([vocabulary.begin_of_audio])
            if isinstance(audio, AudioContext):
                start = len(chat.input_ids)
                chat._append([vocabulary.special("context_of_audio")] * audio.rows)
                chat.context_spans.append((start, start + audio.rows))
            else:
                chat._append(vocabulary.audio_ids(audio))
            chat._append([vocabulary.end_of_audio, *self._text(text, number)])
        chat._append([vocabulary.im_end])

    def _assistant(self, chat: EncodedChat, number: int, head: str, rest: list[str], own: list) -> None:
        vocabulary = self.vocabulary
        chat._append([vocabulary.im_start, *self._text("assistant\n", number)])
        if any(isinstance(audio, AudioContext) for audio in own):
            raise ChatError(
                f"message {number}: an assistant speaks in audio tokens, not in continuous audio rows"
            )
        spoken = [vocabulary.audio_ids(audio) for audio in own]
        texts = [self._text(text, number) for text in (head, *rest)]
        if self.arrange is not None and spoken:
            if len(spoken) > 1:
                raise ChatError(
                    f"message {number} has {len(spoken)} audios; text and audio can be interleaved only "
                    "when an assistant's message has one. Join them, or encode without `arrange`."
                )
            ids = self.arrange([token for text in texts for token in text], spoken[0])
        else:
            ids = list(texts[0])
            for audio, text in zip(spoken, texts[1:], strict=True):
                ids += [vocabulary.begin_of_audio, *audio, vocabulary.end_of_audio, *text]
        chat._append([*ids, vocabulary.im_end], target=True)

    def _text(self, text: str, number: int) -> list[int]:
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        strange = [token for token in ids if not self.vocabulary.is_text(token)]
        if strange:
            raise ChatError(
                f"message {number} spells out {self.tokenizer.convert_ids_to_tokens(strange[0])}. Text must "
                f"not hold special or audio tokens; write {AUDIO_TAG} and pass the codes as an audio."
            )
        return ids

    def _check(self, messages: Sequence[Mapping[str, str]], audios: Sequence) -> None:
        if not messages:
            raise ChatError("a conversation needs at least one message")
        for number, message in enumerate(messages):
            if set(message) != {"role", "content"} or not isinstance(message["content"], str):
                raise ChatError(
                    f'message {number} must be {{"role": ..., "content": "text"}}, got {message!r}'
                )
            if message["role"] not in ROLES:
                raise ChatError(
                    f"message {number} has the role {message['role']!r}; use one of {', '.join(ROLES)}"
                )
            if message["role"] == "system" and number > 0:
                raise ChatError(f"message {number}: a system message comes first or not at all")
        tags = sum(message["content"].count(AUDIO_TAG) for message in messages)
        if tags != len(audios):
            raise ChatError(
                f"the messages have {tags} {AUDIO_TAG} but {len(audios)} audios were given; there must be "
                f"one {AUDIO_TAG} for each audio, in order"
            )
        if self.vocabulary.context_of_audio is None and any(
            isinstance(audio, AudioContext) for audio in audios
        ):
            raise ChatError(
                "continuous audio needs <|context_of_audio|>, which only a VITA-Audio-Plus vocabulary has. "
                "Pass codes."
            )
