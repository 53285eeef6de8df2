import pytest
from tiny_teacher import TinyStore, all_items, check_gradients, two_towers

from vlkd_steps.data.batches import Encoded
from vlkd_steps.students.output import StudentOutput


@pytest.mark.parametrize(("schedule", "strength"), [("constant", 2000.0), ("linear", 2000.0 * 0.6)])
def test_losses_in_numpy(
    data: Encoded, store: TinyStore, output: StudentOutput, schedule: str, strength: float
) -> None:
    found = two_towers("feature_mimicry", data, store, output, lambda_schedule=schedule)
    losses = found.method(output, all_items(data), 4)
    assert set(losses) == {"task", "image", "text"}
    assert losses["image"].item() == pytest.approx(strength * ((found.image - found.v) ** 2).mean(), rel=1e-5)
    assert losses["text"].item() == pytest.approx(strength * ((found.text - found.u) ** 2).mean(), rel=1e-5)


def test_gradients(data: Encoded, store: TinyStore, output: StudentOutput) -> None:
    check_gradients(two_towers("feature_mimicry", data, store, output).method, output, all_items(data))
