"""plug_in, the baseline that keeps its teacher: the teacher's patches are the student's visual input.

As CLIP-ViL plugs CLIP's image encoder into a vision-language model (docs/papers.md, "Baselines"). Nothing is distilled:
the teacher's last feature map, layer-normalised and projected, replaces the student's own patch embeddings, at
inference too.
"""

from vlkd_steps.methods.objective import Objective


class PlugIn(Objective):
    """L = L_task; the patches come from `students.seen_patches`."""


OBJECTIVE = PlugIn
