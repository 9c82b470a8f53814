"""A stand-in for the services of other teams. It knows nothing of the gateway."""
