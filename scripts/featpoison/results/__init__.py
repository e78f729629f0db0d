"""Numbers of tables with their intervals, and the judging of claims."""
