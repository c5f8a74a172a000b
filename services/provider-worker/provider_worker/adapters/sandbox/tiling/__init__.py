"""Surfaces whose edges meet, as pictures and as the skin of models."""
