"""Slurm: submit the parts of a work by submitit, wait for them lightly, find them again after a crash (docs/slurm.md).

- `request`: what the profile asks for (partition, GPUs, time, ...), read from the environment.
- `submission`: a work's folder under ``jobs/``: what was submitted, under which ids; submitting and finding it again.
- `sbatch`, `executor`: submitting, and which job came of it.
- `queue`: in which state jobs are, one look for all waiters; cancelling, and whether it came true.
- `attempt`: what runs on the node; TERM and time limits end it after saving.
- `launcher`: waits, tells, tries again, cancels.

Nothing here imports torch: hundreds of waiters run at once.
"""
