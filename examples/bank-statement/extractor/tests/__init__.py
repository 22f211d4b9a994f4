"""Tests of the extractor: `python3 -m unittest` in the job directory runs them."""
