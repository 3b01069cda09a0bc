"""What is not images in folders, turned into plain folders once: records, pixel tables, arrays."""
