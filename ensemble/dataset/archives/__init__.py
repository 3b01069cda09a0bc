"""Archives of any usual format, at any depth, opened safely: nothing outside, no bombs, no halves."""
