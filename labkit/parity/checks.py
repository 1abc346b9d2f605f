"""One row of the parity table: what was compared, how far apart it is, and how far it may be."""

from dataclasses import dataclass

LOGITS = 2e-4
LOSS = 1e-4
GRADIENT = 1e-3  # relative


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        subject: which generation or which batch.
        what: what was compared.
        found: the result, for people.
        ok: whether it is within bounds.
    """

    subject: str
    what: str
    found: str
    ok: bool


def equal(subject: str, what: str, ours: list, recorded: list) -> Check:
    """Two lists must be the same; otherwise the first difference is shown."""
    if ours == recorded:
        return Check(subject, what, f"{len(recorded)} of {len(recorded)} equal", True)
    if len(ours) != len(recorded):
        return Check(subject, what, f"{len(ours)} for {len(recorded)}", False)
    wrong = [index for index, pair in enumerate(zip(ours, recorded, strict=True)) if pair[0] != pair[1]]
    first = wrong[0]
    found = f"{len(wrong)} of {len(recorded)} differ, first at {first}: {ours[first]} for {recorded[first]}"
    return Check(subject, what, found, False)


def within(subject: str, what: str, difference: float, bound: float) -> Check:
    """A difference must not pass a bound. NaN does."""
    return Check(subject, what, f"{difference:.1e} (at most {bound:.0e})", difference <= bound)
