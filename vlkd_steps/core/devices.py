"""What a configuration may call its hardware. Without torch: the configuration is checked before anything runs."""

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")
