"""What a plan costs: operations, bytes, memory, hours; and benchmarks."""
