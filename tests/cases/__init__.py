"""One file for each fault that a user met: the input, what is right, and where the rule comes from."""
