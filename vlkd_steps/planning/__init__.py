"""What an experiment would take, before it runs: for `vlkd plan`."""
