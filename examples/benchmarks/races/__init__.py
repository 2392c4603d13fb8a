"""The experiments of ``bilevel.py``: what is raced on, the runner, the report."""
