"""The HTTP side: the gateway people declare, the ways of a GET, a POST and a stream, problems, the server."""
