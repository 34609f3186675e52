"""The Dagster shell: assets, checks, resources, schedules. Reads, calls, writes, reports; computes nothing itself."""

import warnings

# Two Dagster features in use are not final in the pinned version; each use would warn.
warnings.filterwarnings("ignore", message="Specifying a partitions_def on an AssetCheckSpec")
warnings.filterwarnings("ignore", message="Parameter `allow_nonexistent_upstream_partitions`")
