"""A local page: drop images, see classes, how sure the blend is, and where it looks."""
