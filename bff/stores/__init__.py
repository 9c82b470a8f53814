"""The only package that uses Redis: one store in each file, one Lua script for each atomic step; redis/ has the
connections."""
