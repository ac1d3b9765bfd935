"""What acts: compares what should be with what is, for runs and schedules, while this daemon leads."""
