"""The only room that speaks to Redis: one port a file, one Lua script for each atomic step, in lua/."""
