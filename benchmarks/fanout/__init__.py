"""One screen over three services, built by several contenders and asked for by the same load."""
