"""Pictures and pages about runs and blends."""
