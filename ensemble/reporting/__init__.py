"""Figures and the HTML page about runs and blends."""
