"""What is not a delivery yet: tables of BigQuery, copied into the landing zone."""
