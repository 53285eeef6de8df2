"""Slurm: submit the parts of a work by submitit, wait for them, find them again after a crash (docs/slurm.md).

- `request`: the profile's resources (partition, GPUs, time, ...), read from the environment.
- `submission`: a work's folder under ``jobs/``: what was submitted, under which ids; submitting and finding it again.
- `sbatch`, `executor`: submitting, and which job came of it.
- `queue`: the states of jobs, one query for all submitters; cancelling, and whether it succeeded.
- `waiting`: messages about jobs that wait.
- `attempt`: what runs on the node; TERM and time limits end it after saving.
- `launcher`: waits, logs, retries, cancels.

Nothing here imports torch: hundreds of submitters run at once.
"""
