"""The services of the demo: each a process with a database of its own. They know nothing of the gateway."""
