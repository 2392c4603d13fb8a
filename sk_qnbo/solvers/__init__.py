"""Solvers of the lower level and of the adjoint system."""
