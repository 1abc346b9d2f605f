"""What a generation says of each token it makes."""

from dataclasses import dataclass, field

from labkit.interleave import Content


@dataclass(frozen=True, slots=True)
class Event:
    """One generated token.

    Attributes:
        id: token id.
        modality: text, audio, or one of the two audio tags; None where no vocabulary was given.
        module: index of the MCTP module that made it, None for the backbone. In verified decoding, the module
            whose draft the backbone confirmed.
        index: which token after the prompt, from 0.
        seconds: since the generation began, prefill included.
        row: which sequence of the batch.
    """

    id: int
    modality: Content | None
    module: int | None
    index: int
    seconds: float
    row: int = 0


@dataclass
class GenerationReport:
    """The work behind a generation; complete once its events are exhausted.

    Attributes:
        backbone_passes: prefill included.
        module_steps: single MCTP module passes.
        slots: tokens per sequence, the longest of the batch.
        constrained_slots: tokens chosen under a constraint on what may win, over all sequences.
        constrained_changed: how many of them the whole vocabulary, scored as it is, would have made something else;
            under sampling, in how many of their slots another token would have been the likeliest. Counted only
            where asked for.
        drafted: tokens that MCTP modules drafted for the backbone to verify.
        accepted: drafts that it confirmed.
    """

    backbone_passes: int = 0
    module_steps: int = 0
    slots: int = 0
    constrained_slots: int = 0
    constrained_changed: int | None = None
    drafted: int = 0
    accepted: int = 0
    acceptance: list[int] = field(default_factory=list)
    """For each verifying pass, the tokens it yielded: accepted drafts and the backbone's own next token."""

    @property
    def constrained_rate(self) -> float | None:
        """Share of constrained tokens that the constraint changed, or None if it was not measured."""
        if self.constrained_changed is None or not self.constrained_slots:
            return None
        return self.constrained_changed / self.constrained_slots

    @property
    def acceptance_length(self) -> float | None:
        """Tokens per verifying backbone pass, on average; 1 would be no gain over Vanilla."""
        return sum(self.acceptance) / len(self.acceptance) if self.acceptance else None
