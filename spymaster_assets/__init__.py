"""Spymaster, the batch side: Databento DBN files become Bronze, by trading date, in Dagster.

The map, in the order in which data flows:

    config      every parameter, one frozen tree and its hash
    sessions    trading date <-> ns UTC; the only file that knows time zones
    tables      every table and column, declared once
    features/   the feature registry: family, unit, window, when known, null policy
    dbn         DBN files <-> structured arrays, in bounded chunks
    vendor      Databento's historical data over HTTPS (asking: its requests, prices and errors)
    lacking, staged, download   what a date lacks in landing; a file on its way there; pricing, ordering, bringing
    landing     which files there are, what they hold, which of them serve a date
    contract    which futures contract a date is about
    ingest      landing files of a date -> its six Bronze tables
    lake        where a table and date live: atomic writes, manifests, reads, DuckDB views
    maker, silver, gold   how the tables of a date are made from one another
    quality     what is measured on a published table, against which threshold (silver_, gold_, history_quality)
    compute/    pure kernels on integers (no Dagster, no files, no clock)
    assets/     the Dagster shell around all of the above
    simulator/  a market with known truth, written as genuine DBN files
    models/     metrics, weights and the plain scorers that every model must beat
    truth_check what the simulator planted beside what the pipeline sees
    cli         spymaster simulate | truth-check | download | ingest | day | backfill | status | ...

This package imports nothing at its top level; import the module that you need.
"""
