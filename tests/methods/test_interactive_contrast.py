import numpy as np
import pytest
from tiny_teacher import TinyStore, all_items, check_gradients, log_softmax, two_towers

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Encoded
from vlkd_steps.methods import objective
from vlkd_steps.students.output import StudentOutput

# Items 0 and 2 share their image; 0 and 3, and 1 and 2, their text.
NEGATIVE = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]], dtype=bool)


def test_losses_in_numpy(data: Encoded, store: TinyStore, output: StudentOutput) -> None:
    found = two_towers("interactive_contrast", data, store, output, lambda0=3)
    losses = found.method(output, all_items(data), 4)
    assert set(losses) == {"task", "image_to_text", "text_to_image"}
    for name, student, teacher in (("image_to_text", found.image, found.u), ("text_to_image", found.text, found.v)):
        logits = np.where(NEGATIVE, student @ teacher.T / 0.07, -np.inf)
        assert losses[name].item() == pytest.approx(-1.5 * log_softmax(logits).diagonal().mean(), rel=1e-4)


def test_gradients(data: Encoded, store: TinyStore, output: StudentOutput) -> None:
    check_gradients(two_towers("interactive_contrast", data, store, output).method, output, all_items(data))


def test_a_student_that_equals_the_teacher_has_a_small_loss(
    data: Encoded, store: TinyStore, output: StudentOutput
) -> None:
    """Where the other embedding is the item's own, and no other item's."""
    method = two_towers("interactive_contrast", data, store, output, temperature=0.01).method
    batch = all_items(data)
    basis = np.eye(4, dtype=np.float32)
    batch.extra.update({name: batch.extra["v"].new_tensor(basis) for name in ("v", "u")})
    same = method.distilled(batch.extra["u"], batch.extra["v"], batch)  # type: ignore[operator]
    swapped = method.distilled(batch.extra["u"].roll(1, 0), batch.extra["v"], batch)  # type: ignore[operator]
    assert sum(same.values()).item() < 1e-6
    assert sum(swapped.values()).item() > 10


def test_settings_are_checked() -> None:
    settings = {"name": "interactive_contrast", "lambda0": 1, "lambda_schedule": "constant"}
    with pytest.raises(UserError, match="method interactive_contrast: temperature is missing"):
        objective.create(settings, steps=10)
    with pytest.raises(UserError, match=r"temperature is 0\.009; write a number, 0\.01 or more"):
        objective.create(settings | {"temperature": 0.009}, steps=10)
