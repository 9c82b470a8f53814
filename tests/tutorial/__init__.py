"""The tutorial as a new user plays it."""
