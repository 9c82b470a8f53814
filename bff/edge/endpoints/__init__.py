"""One file for each kind of endpoint. An endpoint is given exactly what it uses; `guard` lets requests in."""
