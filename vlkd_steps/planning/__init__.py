"""What an experiment would take, before it runs: for `python -m vlkd_steps.plan`."""
