"""What an experiment will cost, estimated before it runs, for `vlkd plan`."""
