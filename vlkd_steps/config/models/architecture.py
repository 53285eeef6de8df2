"""The keys of a student's ``architecture``: those that decide a new model's shape, under transformers' own names.

Defaults are those of the configuration class that each stands for, so that sizes can be compared where only one of them
is written; vocabulary, types and special tokens are not among the keys, they follow from the words and the task.
"""

from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from vlkd_steps.config.models.base import LARGEST, Count, Flag, Model, Positive, Share, problem, says

Activation = Literal[
    "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_10", "quick_gelu", "relu", "relu2", "relu6", "silu",
    "swish", "mish", "leaky_relu", "sigmoid", "tanh", "linear",
]  # fmt: skip
Unlimited = Annotated[int, Strict(), Field(ge=-1, le=LARGEST), says("a whole number, or -1 for no limit")]


def whole_heads(model: Model, width: str, heads: str) -> None:
    """Refuse a width that attention heads do not divide; one that is not written may be that of given weights."""
    if width in model.model_fields_set and getattr(model, width) % getattr(model, heads):
        raise problem(
            f"{width} is {getattr(model, width)}, no multiple of {heads}, {getattr(model, heads)}; change one of them"
        )


class Encoder(Model):
    """What the encoders of BERT's kind have in common."""

    hidden_size: Count = 768
    num_hidden_layers: Count = 12
    num_attention_heads: Count = 12
    intermediate_size: Count = 3072
    hidden_dropout_prob: Share = 0.0
    attention_probs_dropout_prob: Share = 0.0
    initializer_range: Positive = 0.02
    max_position_embeddings: Count = 512

    @model_validator(mode="after")
    def _divides(self) -> "Encoder":
        whole_heads(self, "hidden_size", "num_attention_heads")
        return self


class ViltArchitecture(Encoder):
    """transformers.ViltConfig."""

    max_position_embeddings: Count = 40
    hidden_act: Activation = "gelu"
    layer_norm_eps: Positive = 1e-12
    image_size: Count = 384
    patch_size: Count = 32
    num_channels: Annotated[Literal[3], says("3: images are read as RGB")] = 3
    qkv_bias: Flag = True
    max_image_length: Unlimited = -1

    @model_validator(mode="after")
    def _has_patches(self) -> "ViltArchitecture":
        if self.patch_size > self.image_size:
            raise problem(f"patch_size is {self.patch_size}, larger than image_size, {self.image_size}; lower it")
        return self


class UniterArchitecture(Encoder):
    """`students.uniter_model.UniterConfig`."""

    img_dim: Count = 2048


class VisualBertArchitecture(Encoder):
    """transformers.VisualBertConfig."""

    visual_embedding_dim: Count = 512
    hidden_act: Activation = "gelu"
    layer_norm_eps: Positive = 1e-12
    bypass_transformer: Flag = False
    special_visual_initialize: Flag = True


class BartArchitecture(Model):
    """transformers.BartConfig."""

    d_model: Count = 1024
    encoder_layers: Count = 12
    decoder_layers: Count = 12
    encoder_attention_heads: Count = 16
    decoder_attention_heads: Count = 16
    encoder_ffn_dim: Count = 4096
    decoder_ffn_dim: Count = 4096
    encoder_layerdrop: Share = 0.0
    decoder_layerdrop: Share = 0.0
    dropout: Share = 0.1
    attention_dropout: Share = 0.0
    activation_dropout: Share = 0.0
    activation_function: Activation = "gelu"
    init_std: Positive = 0.02
    max_position_embeddings: Count = 1024
    scale_embedding: Flag = False

    @model_validator(mode="after")
    def _divides(self) -> "BartArchitecture":
        whole_heads(self, "d_model", "encoder_attention_heads")
        whole_heads(self, "d_model", "decoder_attention_heads")
        return self
