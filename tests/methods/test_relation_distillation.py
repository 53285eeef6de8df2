import numpy as np
import pytest
from tiny_teacher import TinyStore, all_items, check_gradients, log_softmax, two_towers

from vlkd_steps.data.batches import Encoded
from vlkd_steps.students.output import StudentOutput


def test_losses_in_numpy(data: Encoded, store: TinyStore, output: StudentOutput) -> None:
    found = two_towers("relation_distillation", data, store, output, lambda0=3)
    losses = found.method(output, all_items(data), 4)
    assert set(losses) == {"task", "image_to_text", "text_to_image"}
    student, teacher = found.image @ found.text.T / 0.07, found.v @ found.u.T / store.temperature
    for name, ours, theirs in (("image_to_text", student, teacher), ("text_to_image", student.T, teacher.T)):
        q, p = log_softmax(theirs), log_softmax(ours)
        assert losses[name].item() == pytest.approx(1.5 * (np.exp(q) * (q - p)).sum(1).mean(), rel=1e-4)


def test_gradients(data: Encoded, store: TinyStore, output: StudentOutput) -> None:
    check_gradients(two_towers("relation_distillation", data, store, output).method, output, all_items(data))


def test_the_teachers_own_embeddings_have_no_loss(data: Encoded, store: TinyStore, output: StudentOutput) -> None:
    method = two_towers("relation_distillation", data, store, output, temperature=store.temperature).method
    batch = all_items(data)
    losses = method.distilled(batch.extra["v"], batch.extra["u"], batch)  # type: ignore[operator]
    assert sum(losses.values()).item() == pytest.approx(0, abs=1e-6)
