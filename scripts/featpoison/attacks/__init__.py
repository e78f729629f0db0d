"""Attacks: a frozen settings class and a function each."""
