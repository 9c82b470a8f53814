"""The composition root: `build` knows every part; the other files make one kind of part from the settings."""
