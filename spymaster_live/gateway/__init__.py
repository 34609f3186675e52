"""The gateway: what the engine says, for browsers. In the order of the data:

wire.py      rows and messages as JSON                                                   (pure)
fold.py      the state of a run, from what the engine said of it; minutes.py: its liquidity (pure)
past.py      any moment of a date of the lake, as live said it; what came of touches before
aside.py     the process that past.py is asked in
relay.py     LEVELS read from the latest session on, into the fold and to the clients; whether all is well
hub.py       the clients: what each has still to be sent, what it may miss, who is given up
guard.py     who may come in: token, host, origin, how often
stream.py    /ws/stream
rest.py      everything that is asked for once
serving.py   the process: FastAPI on uvicorn

It keeps nothing on disk and any number of gateways may stand side by side: `seq` is the sequence in LEVELS, the same for all.
"""
