"""Solvers of the convex problem that a linear head poses, and the training sets that it is posed on."""
