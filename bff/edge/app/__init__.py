"""The composition root: `build` puts the parts together; the other files make the parts from the settings."""
