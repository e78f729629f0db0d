"""Small things that every other room uses: settings, seeds, precision, progress, files, shards, schedules, pixels."""
