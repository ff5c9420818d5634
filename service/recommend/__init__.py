"""Seeds → candidates → rank, as pure NumPy: no network, no clock, no settings."""
