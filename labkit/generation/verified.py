"""Verified decoding: the chain drafts, the backbone's next pass checks, the output is Vanilla's.

The chain guesses the tokens that follow the backbone's own. The next backbone pass reads them all at once, and
thereby says what it would have made itself after each of them. Drafts are kept as far as they agree; at the
first that does not, the backbone's own token stands, and what was computed beyond it is taken back. One pass
that confirms ``a`` drafts so yields ``a + 1`` tokens. (Leviathan et al. 2023 call this speculative decoding;
the paper, section 3.2, does without the check because audio is easier to predict than text.)

Sampling works too: each token is drawn from the backbone's distribution, one draw per token and in order, and a
draft is kept if it is what was drawn. So the random numbers, too, are spent as Vanilla spends them.
"""

from collections.abc import Iterator

import torch

from labkit.generation.decode import Head, Step
from labkit.generation.events import GenerationReport
from labkit.generation.state import GenerationState
from labkit.model.speech_lm import SpeechLM


def decode_verified(
    model: SpeechLM,
    state: GenerationState,
    head: Head,
    tokens: int,
    drafts: int,
    report: GenerationReport | None = None,
) -> Iterator[Step]:
    """Make ``tokens`` tokens, exactly those of Vanilla.

    In a batch, drafts are kept as far as they hold in every sequence. ``Step.module`` is the module whose
    draft was confirmed, None for the backbone's own tokens.

    Args:
        model: with at least ``drafts`` modules.
        state: made with that many modules.
        head: chooses the tokens that count.
        tokens: how many.
        drafts: most tokens to draft per backbone pass.
        report: gets the counts.
    """
    report = report or GenerationReport()
    index, drafted = 0, []
    while index < tokens:
        first = state.seen[0]
        hidden = state.advance(model, 0)
        report.backbone_passes += 1
        # The rows that predict the drafts, and one more.
        judged = hidden[:, hidden.shape[1] - len(drafted) - 1 :]
        for row in range(len(drafted) + 1):
            ids, logits = head(judged[:, row], index)
            confirmed = row < len(drafted) and bool(((ids == drafted[row]) | state.finished).all())
            if not confirmed:
                state.crop(state.length - (len(drafted) - row), model.config.num_hidden_layers)
                state.append(ids)
            report.accepted += confirmed
            report.slots += 1
            yield Step(index, row if confirmed else None, ids, logits, first, hidden.shape[1])
            index += 1
            if not confirmed or index == tokens:
                break
        if drafted:
            report.acceptance.append(row + 1)
        # The last of the tokens still wanted needs no draft: the verifying pass makes one more than it confirms.
        drafted = _draft(model, state, min(drafts, tokens - index - 1), report)


@torch.no_grad()
def _draft(
    model: SpeechLM, state: GenerationState, count: int, report: GenerationReport
) -> list[torch.Tensor]:
    """Let the chain guess the next tokens, each ``(batch,)``, and append them unchecked."""
    drafted = []
    for module in range(count):
        hidden = state.advance(model, module + 1)
        drafted.append(model.head(hidden[:, -1]).argmax(-1))
        state.append(drafted[-1])
    report.module_steps += len(drafted)
    report.drafted += len(drafted)
    return drafted
