"""What a BART can still do with text alone, before and after it learns to see (PAPERS 2.2).

- **infilling**: mean cross-entropy of writing held-out texts from their masked versions, without an image;
- **entailment**: accuracy, in per cent, of a linear probe on the encoder's state of a premise and a hypothesis about
  it: how much of the relation between two sentences the encoder still says. The probe is trained anew each time.

Both are functions of (student, seed): the texts, their masks and the probe's halves are the same for every student.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vlkd_steps.benchmarks.scenes import texts
from vlkd_steps.core.seeds import derive
from vlkd_steps.data.infilling import Infilling, padded
from vlkd_steps.students.bart import BartStudent, infilling_loss

BATCH = 128
SIZE = 2000  # texts, and pairs


@torch.inference_mode()
def infilling(student: BartStudent, held_out: Sequence[str], seed: int) -> float:
    """Mean cross-entropy a token of `held_out`, in nats."""
    tokenizer, device = student.tokenizer, student.to_clip.weight.device
    rows = tokenizer(list(held_out), truncation=True, max_length=student.max_tokens).input_ids
    noise = Infilling(tokenizer.mask_token_id)
    total, tokens = 0.0, 0
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        target, mask = (x.to(device) for x in padded(part, tokenizer.pad_token_id))
        masked = [noise(row, seed, start + place) for place, row in enumerate(part)]
        read, seen = (x.to(device) for x in padded(masked, tokenizer.pad_token_id))
        loss = infilling_loss(student.write(student.encode(read, seen), seen, target), target, mask)
        total += loss.item() * int(mask.sum())
        tokens += int(mask.sum())
    return total / tokens


def entailment(student: BartStudent, pairs: Sequence[texts.Pair]) -> float:
    """Accuracy of a logistic probe, trained on the first half of `pairs`, on the second half."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    states = states_of(student, [f"{pair.premise}. {pair.hypothesis}" for pair in pairs]).numpy()
    half = len(pairs) // 2
    scaler = StandardScaler().fit(states[:half])
    labels = [pair.label for pair in pairs]
    probe = LogisticRegression(max_iter=2000, C=0.1).fit(scaler.transform(states[:half]), labels[:half])
    return 100 * float(probe.score(scaler.transform(states[half:]), labels[half:]))


@torch.inference_mode()
def states_of(student: BartStudent, sentences: Sequence[str]) -> Tensor:
    """The encoder's state at the end token and its mean over tokens, float32 [N, 2 H]."""
    device, found = student.to_clip.weight.device, []
    rows = student.tokenizer(list(sentences), truncation=True, max_length=student.max_tokens).input_ids
    for start in range(0, len(rows), BATCH):
        tokens, mask = (x.to(device) for x in padded(rows[start : start + BATCH], student.tokenizer.pad_token_id))
        states = student.encode(tokens, mask).float()
        end = states[torch.arange(len(states)), mask.sum(1) - 1]
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        found.append(torch.cat([end, mean], dim=1).cpu())
    return torch.cat(found)


def on_scenes(student: BartStudent, seed: int, size: int = SIZE) -> dict[str, float]:
    """Both abilities on texts about scenes that no training drew."""
    held_out = texts.texts(derive(seed, "kept ability"), size)
    return {
        "infilling": infilling(student, held_out, seed),
        "entailment": entailment(student, texts.entailment(derive(seed, "kept ability"), size)),
    }
