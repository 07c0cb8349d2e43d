"""What is declared once: sources, their columns and rules."""
