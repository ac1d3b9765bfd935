"""What a run is and what should happen next to it: pure values and functions, no I/O and no clock."""
