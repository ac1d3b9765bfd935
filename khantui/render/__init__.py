"""Values to text, purely: no terminal, no clock, no daemon."""
