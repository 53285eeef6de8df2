"""The words of scenes by which token selection is measured (``visual_words: scenes`` of a data set's file).

They name what a thing looks like, or its row. A relation (*left*, *above*) is no property of one thing, and nearly
every scene has one of each kind, so its word alone says little of the image.
"""

from vlkd_steps.benchmarks.scenes import wording

RELATIONS = ("above", "below", "left", "right", "cover", "covered")
VISUAL_WORDS = wording.VISUAL_WORDS - {*RELATIONS}
