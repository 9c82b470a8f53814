"""One file for each fault that a user met: the input, the right result, and the source of the rule."""
