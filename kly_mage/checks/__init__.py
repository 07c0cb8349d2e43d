"""What proves the numbers: verify, status, reconciliation."""
