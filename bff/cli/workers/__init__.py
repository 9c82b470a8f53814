"""`bff serve --workers N`: one process that holds the sockets and starts N gateways behind them.

`supervisor.py` is the parent: it never imports the user's application. `worker.py` is the program of a worker,
`process.py` one worker as the parent sees it, `admin.py` the admin port of all of them.
"""
