"""Events by every bus there is, from real servers: one contract, held by each."""
