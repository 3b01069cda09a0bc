"""Selecting members, weighting them, and estimating honestly how good the blend is. Arrays only."""

from ensemble.blending.blend import Blend, Member, make_blend
from ensemble.blending.options import Options

__all__ = ["Blend", "Member", "Options", "make_blend"]
