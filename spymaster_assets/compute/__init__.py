"""Pure kernels on arrays of integers: no files, no clock, no Dagster. Batch and live call the same ones."""
