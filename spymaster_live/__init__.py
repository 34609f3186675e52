"""Live: the same compute functions, fed by messages.

feed (or a replay) -> NATS JetStream -> engine -> NATS -> whoever listens. In the order of the data:

frames.py    a date's records, channel by channel, cut into frames in one order                  (pure)
messages.py  what travels: headers, frames, the session, the clock; what is wrong with a message (pure)
engine.py    frames in, rows and signals out, around compute.stream                              (pure)
payload.py   a closed snap as the JSON that a page reads                                         (pure)
connection.py  who we are on the bus, whom we trust
health.py    whether a service works, told and asked
bus.py       streams, publishing and reading without loss or repetition, dead letters
feed.py      the process that publishes a date, paced and controlled
serving.py   the process around the engine
symbols.py   which symbol a number means, packed for the session
batches.py   what was read of a stream and is not on disk yet
capture.py   the capture on disk: what counts, where it goes on, whether it is sound
handover.py  a complete run becomes landing files
writer.py    the process that captures
server.py    a NATS server of one's own
gateway/     what the engine says, for browsers
client.py    a client of the gateway
parity.py    what live said beside what Dagster stored
access.py    who may do what on the bus
keys.py      seeds, certificates and passwords of a deployment
__main__.py  the commands of python -m spymaster_live

Nothing here imports Dagster.
"""
