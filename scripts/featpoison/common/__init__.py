"""Small things that every other room uses, such as settings, seeds, schedules, pixels, files and shards."""
