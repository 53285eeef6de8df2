"""`vlkd bench gpu`: the speed of paper-size models on this machine's accelerator, with random weights and data."""
