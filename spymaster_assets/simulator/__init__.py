"""A market with known truth, written as genuine DBN files: the same door as the vendor's.

The map, in the order in which a trading date is made:

    rng          random numbers and tables that are the same integers on every machine
    price        the clock of a date (records, variance) and the efficient price F
    book         an order book by price, and how its records are numbered and stamped
    market       the queue-reactive flow of orders that follows F, as MBP-10 records
    definitions  symbols, roots, expirations and the definition records
    options      quotes and trades of the option chain around F
    write        `simulate`: UTC-day files in a landing folder

Plausible, not calibrated. Bytes depend on the arguments alone: integers everywhere, no libm.
"""
