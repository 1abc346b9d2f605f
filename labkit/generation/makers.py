"""Who makes each token: a mode's schedule, or what the public code does with schedules that cannot be run."""

from collections.abc import Callable, Sequence

from labkit.interleave import InterleaveMode

Maker = Callable[[int], int | None]
"""From the index of a token after the prompt to its MCTP module, None for the backbone."""


def planned_makers(mode: InterleaveMode, available: int) -> Maker:
    """The makers that a mode's schedule names.

    Raises:
        ScheduleError: the schedule needs more modules than are available.
    """
    mode.require_modules(available)
    return mode.maker


def public_makers(counts: Sequence[int], available: int, tokens: int) -> Maker:
    """The makers that the public VITA-Audio code ends up with, silently, for any list of counts.

    There, an MCTP slot runs the backbone instead whenever no module is left since the last backbone pass,
    and so does the first slot whatever the list says; the modules then begin again at 0. Only for comparison
    with recordings of that code: a schedule that it cannot run as written is refused elsewhere.

    Args:
        counts: backbone and MCTP tokens in turn; the last pair repeats.
        available: modules of the chain.
        tokens: how many slots to lay out.

    Raises:
        ValueError: an empty or odd list, or a last pair without tokens.
    """
    if not counts or len(counts) % 2 or max(counts[-2:]) < 1:
        raise ValueError(f"even the public code needs pairs of counts that make tokens, got {list(counts)}")
    pairs = list(zip(counts[::2], counts[1::2], strict=True))
    wishes: list[bool] = []  # whether each slot asks for an MCTP module
    while len(wishes) < tokens:
        backbone, mctp = pairs.pop(0) if len(pairs) > 1 else pairs[0]
        wishes += [False] * backbone + [True] * mctp
    makers: list[int | None] = []
    module = available
    for wish in wishes:
        if wish and module < available:
            makers.append(module)
            module += 1
        else:
            makers.append(None)
            module = 0
    return makers.__getitem__
