"""What a defender can do with poisoned data."""
