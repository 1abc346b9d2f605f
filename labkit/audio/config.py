"""Shapes of the codec's networks as data that survives a trip through JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Self

from labkit.audio.features import FrameSettings


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Base of every network's configuration; all share how samples, frames and tokens line up."""

    frames: FrameSettings = field(default_factory=FrameSettings)

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        """Inverse of `to_dict`, also after JSON has turned tuples into lists.

        Raises:
            ValueError: if `values` names a field that this configuration does not have.
        """
        unknown = values.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise ValueError(
                f"{cls.__name__} has no {', '.join(sorted(unknown))}; the file is of another version"
            )
        restored = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**{**restored, "frames": FrameSettings(**values["frames"])})
