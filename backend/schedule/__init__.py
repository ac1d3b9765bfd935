"""When runs start without a person: pure arithmetic on times and schedules."""
