"""One module per method. This file is read by light steps and must not import torch."""

KEEPS_TEACHER = frozenset({"plug_in"})
"""The methods whose student needs its teacher at inference; tables say so. Each such class says `keeps_teacher`."""
