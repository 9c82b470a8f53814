"""The connection, and the layers that every request passes before it has a route: admission, envelope, checks."""
