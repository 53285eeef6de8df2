"""Base class of students with region input, whatever their encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from vlkd_steps.core.errors import UserError
from vlkd_steps.data import tokenizer as text
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students import heads
from vlkd_steps.students.output import StudentOutput


class RegionStudent(nn.Module):
    """A joint encoder of text and regions with the head of a task.

    Attributes:
        sees: ``regions``.
        regions: the name of the extractor of its regions (`conf/teacher`).
        region_width: the width of their features.
        width: of its hidden states; max_tokens: the longest text, including special tokens.
    """

    sees = "regions"
    width: int
    max_tokens: int
    region_width: int

    def __init__(
        self, encoder: nn.Module, width: int, std: float, tokenizer: Any, task: str, labels: Sequence[str], regions: str
    ) -> None:
        super().__init__()
        self.add_module(self.encoder_name, encoder)
        self.head = heads.create(task, labels, width, std)
        self.width = width
        self.tokenizer = tokenizer
        self.task = task
        self.labels = list(labels)
        self.regions = regions

    encoder_name: str
    """The attribute of the encoder."""

    def encode(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        """The input of the first layer and the output of the last, [N, T + R, H] each, and the pooled state, [N, H]."""
        raise NotImplementedError

    def forward(self, inputs: Inputs) -> StudentOutput:
        assert inputs.regions is not None
        embedded, states, pooled = self.encode(inputs)
        length = inputs.tokens.shape[1]
        return StudentOutput(
            logits=self.head(pooled),
            cls=states[:, 0],
            pooled=pooled,
            visual=states[:, length:],
            text=states[:, :length],
            embedded_text=embedded[:, :length],
            visible=inputs.regions.mask,
        )

    def see_patches(self, width: int) -> None:
        """Read a plugged-in teacher's patches of width `width` instead of regions, by a new projection (plug_in)."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """The description that `students.saved` writes, without the encoder's configuration."""
        return {
            "tokenizer": text.to_json(self.tokenizer),
            "task": self.task,
            "labels": self.labels,
            "regions": self.regions,
        }


def projection(width: int, hidden: int, std: float) -> nn.Linear:
    """A new linear layer: weights from N(0, std), biases zero."""
    layer = nn.Linear(width, hidden)
    nn.init.normal_(layer.weight, 0.0, std)
    nn.init.zeros_(layer.bias)
    return layer


def named_regions(conf: Mapping[str, Any]) -> str:
    """The extractor that a student's configuration names.

    Raises:
        UserError: it names none.
    """
    if not conf.get("regions"):
        raise UserError(
            f"student {conf['name']} reads regions, but its configuration names none; set regions: to an extractor of "
            "conf/teacher, such as boxes_scenes or butd_coco"
        )
    return str(conf["regions"])
