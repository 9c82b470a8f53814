"""The composition root: `build` knows everybody; what stands beside it makes one kind of part from the settings."""
