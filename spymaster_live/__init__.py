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
server.py    a NATS server of one's own
parity.py    what live said beside what Dagster stored
access.py    who may do what on the bus
keys.py      seeds, certificates and passwords of a deployment
__main__.py  python -m spymaster_live all | feed | engine | provision | keys | health | parity | control

Nothing here imports Dagster.
"""
