"""Write a phase's receipt: the sha256 of everything it made for this experiment."""

from pathlib import Path

from vlkd_steps.receipt import write

write(Path(snakemake.output[0]), [Path(name) for name in snakemake.params.files])  # noqa: F821
