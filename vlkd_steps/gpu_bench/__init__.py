"""`vlkd bench gpu`: the speed of the paper-size work on this machine's accelerator, with random weights and data."""
