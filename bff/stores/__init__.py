"""The only room that speaks to Redis: one port a file, a Lua script for each atomic step, in redis/ the connection."""
