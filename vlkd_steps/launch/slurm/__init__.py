"""Slurm: submit a step's parts by submitit, wait for them, and find them again after a crash (docs/slurm.md).

- `request`: the profile's resources (partition, GPUs, time, ...), read from the environment.
- `submission`: a step's folder under ``jobs/`` records what was submitted under which ids, to find it again.
- `sbatch`: submitting, and which job came of it.
- `queue`: the states of jobs, one query for all submitters; cancelling, and whether it succeeded.
- `waiting`: messages about jobs that wait.
- `attempt`: what runs on the node; TERM and time limits end it after saving.
- `launcher`: waits, logs, retries, cancels.

Nothing here imports torch: hundreds of submitters run at once.
"""
