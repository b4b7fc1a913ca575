"""What a person may choose about each task."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["EmbedOptions", "MultilabelOptions", "RegressOptions"]


@dataclass
class MultilabelOptions:
    """Several labels are written `a|b`, or as a JSON list; `[]` is none of them."""

    separator: str = "|"
    threshold: float = 0.5  # an answer names the labels that are at least as likely


@dataclass
class RegressOptions:
    """Several numbers are written `1.5|2.0`, or as a JSON list."""

    separator: str = "|"
    names: list[str] = field(default_factory=list)  # of the numbers, in their order
    uncertainty: bool = False  # learn how far off each answer may be, too


@dataclass
class EmbedOptions:
    """Rows of one label come to lie together, those of others apart."""

    width: int = 128  # of the vectors; 0 keeps the base's own
    loss: str = "contrastive"  # or triplet
    temperature: float = 0.1  # contrastive: the lower, the more the nearest of the others count
    margin: float = 0.2  # triplet: by how much nearer a row of the same label has to be
    together: int = 4  # rows of one label that stand side by side in a batch
