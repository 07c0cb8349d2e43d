"""Settings, errors, windows of days, the console, the timer: what every room may use."""
