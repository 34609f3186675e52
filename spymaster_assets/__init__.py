"""Spymaster, the batch side: Databento DBN files become Bronze, by trading date, in Dagster.

The map, in the order in which data flows:

    config      every parameter, one frozen tree and its hash
    sessions    trading date <-> ns UTC; the only file that knows time zones
    tables      every table and column, declared once
    dbn         DBN files <-> structured arrays, in bounded chunks
    landing     which files there are, what they hold, which of them serve a date
    contract    which futures contract a date is about
    ingest      landing files of a date -> its six Bronze tables
    lake        where a table and date live: atomic writes, manifests, reads, DuckDB views
    quality     what is measured on a published table, against which threshold
    compute/    pure kernels on integers (no Dagster, no files, no clock)
    assets/     the Dagster shell around all of the above
    simulator/  a market written as genuine DBN files
    cli         spymaster simulate | ingest | day | status | doctor

This package imports nothing at its top level; import the module that you need.
"""
