"""VLKD (Dai et al. 2022): a BART's encoder joins a frozen CLIP's space, its decoder learns to write from an image."""

from typing import Literal

from vlkd_steps.config.models.base import Count, FromZero, Positive, Share, Whole
from vlkd_steps.config.models.method import Method, Settings


class Vlkd(Settings):
    """The first four are the losses' weights; 0 disables a loss."""

    ttdm: FromZero
    itcl: FromZero
    icti: FromZero
    rehearsal: FromZero
    negatives: Literal["all", "distinct"]
    mask_share: Share
    mean_span: Positive
    masked_whole: Share
    rehearsal_texts: Literal["captions", "scenes"]
    stored_pairs: Whole
    shuffle_window: Count


METHOD = Method(Vlkd, runner="vlkd")
