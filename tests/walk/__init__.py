"""A new user, from the clone to the page for finance."""
