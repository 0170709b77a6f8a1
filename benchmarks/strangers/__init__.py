"""Models nobody here wrote: the list is models.csv, the run is __main__.py."""
