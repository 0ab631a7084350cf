"""Mutations of the product that the tests must catch: `make mutants`."""
