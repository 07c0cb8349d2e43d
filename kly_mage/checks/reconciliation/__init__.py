"""Every row and every cent of the files, found again in bronze and in gold, or missed by name."""
