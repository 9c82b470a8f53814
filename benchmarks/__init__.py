"""Benchmarks: what a screen costs here and in other frameworks, measured in one run on one machine."""
