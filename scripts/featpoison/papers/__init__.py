"""What each publication printed, the names of its rows, and its claims."""
