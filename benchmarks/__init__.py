"""Benchmarks: what a screen costs here and what it costs elsewhere, measured in one run on one machine."""
