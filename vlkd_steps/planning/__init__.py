"""Estimates of what an experiment takes before it runs, for `vlkd plan`."""
