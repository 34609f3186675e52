"""Live: the same compute functions, fed by messages. What each module knows: docs/architecture.md. Nothing here imports Dagster."""
