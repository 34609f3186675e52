"""Spymaster, the batch side: Databento DBN files become Bronze, Silver, Gold and models, by trading date, in Dagster.

What each module knows, and which may import which: docs/architecture.md. This package imports nothing at its top level; import the
module that you need.
"""
