"""Anyone's files in the official formats, scored by the official metrics: one file per task."""
