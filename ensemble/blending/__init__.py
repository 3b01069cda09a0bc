"""Choosing members, weighing them, and saying honestly how good the result is. Arrays only."""

from ensemble.blending.blend import Blend, Member, make_blend
from ensemble.blending.rating import Options

__all__ = ["Blend", "Member", "Options", "make_blend"]
