"""The image tower of ``vlkd-scenes``: a small vision transformer behind a convolutional stem.

It has the form of MobileCLIP's ``vit_base_mci_224`` (timm). Five 3x3 convolutions, the first of stride 1, turn 48 x 48
pixels into a 3 x 3 grid, one token per cell of a scene. (Measured: naming the shape of a single object takes 100
supervised steps with this stem, 200 with one that starts by stride 2; linear patches of 16 pixels are slower still.)
Importing this module registers the tower with timm, where open_clip finds it by name.
"""

from functools import partial
from typing import Any

from timm.layers import HybridEmbed
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import ConvStem

default_cfgs = generate_default_cfgs({"vlkd_scenes_vit.untrained": {"input_size": (3, 48, 48), "num_classes": 0}})
"""timm's settings of the model: there are no weights to fetch."""


@register_model
def vlkd_scenes_vit(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """Images float32 [B, 3, 48, 48] -> the mean of 9 tokens, [B, 128]."""
    stem = ConvStem(channels=(16, 32, 64, 96, 128), depth=5, stride=(1, 2, 2, 2, 2))
    shape = {"img_size": 48, "embed_dim": 128, "depth": 2, "num_heads": 4, "mlp_ratio": 3.0}
    pooling = {"class_token": False, "global_pool": "avg"}
    embed = partial(HybridEmbed, backbone=stem, proj=False)
    arguments = {"patch_size": 1, "embed_layer": embed, **shape, **pooling, **kwargs}
    return build_model_with_cfg(VisionTransformer, "vlkd_scenes_vit", pretrained, **arguments)
