"""Events from each supported broker, with real servers: all adapters pass the same tests."""
