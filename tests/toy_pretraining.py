"""What is pretrained in tests: a CLIP of drawn scenes."""

CLIP_RECIPE = {
    "stream": "scenes",
    "single_object_legs": 1,
    "seed": 5,
    "steps": 5,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "warmup": 0.2,
    "weight_decay": 0.05,
    "checkpoint_every": 2,
    "evaluate_every": 5,
    "threads": 1,
    "device": "cpu",
    "dtype": "float16",
}
