"""A user's own data, before anything is trained on them: what files there are, and what the pipeline sees in them."""
