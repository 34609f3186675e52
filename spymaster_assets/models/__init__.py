"""What learns from Gold, and what tells honestly whether it did: arrays in, arrays out, no Dagster.

Models are written to folders and read back (`artifacts`, each model's save and load); nothing else here touches a file.

Three classes everywhere, in the order of their states: BREAK, BOUNCE, CHOP. Rows are those of `gold/training`; the date of a row
is an array beside them.
"""
