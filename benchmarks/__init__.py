"""Benchmarks: each stage beside its floor (what it cannot be faster than) and, where there is one, a peer. `make bench`."""
