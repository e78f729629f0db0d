"""Solvers of the head's convex problem, and the training sets that it is posed on."""
