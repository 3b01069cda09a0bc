"""Which images, which labels, which split, and their decoded pixels. No torch here."""
