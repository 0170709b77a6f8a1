"""Latency estimates: the published rows, the standard networks they are about, the fit and its cross-validation."""
