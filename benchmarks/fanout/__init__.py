"""One screen over three services, built by several contenders and requested with the same load."""
