"""Benchmarks: ratios within one run against the named rivals, medians of repeats."""
