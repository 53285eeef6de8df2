"""Slurm: submit a step's parts by submitit, wait for them, and find them again after a crash (docs/slurm.md).

- `request`: the profile's resources (partition, GPUs, time, ...), read from the environment.
- `submission`: a step's folder under ``jobs/`` records what was submitted under which ids, to find it again.
- `sbatch`: submits a script and finds its job.
- `queue`: job states, by one query for all submitters; cancels jobs and checks that they end.
- `waiting`: messages about pending jobs.
- `attempt`: what runs on the node; TERM and time limits end it after saving.
- `launcher`: waits, logs, retries, cancels.

Nothing here imports torch, because hundreds of submitters may run at once.
"""
