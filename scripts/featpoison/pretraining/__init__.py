"""Contrastive pre-training of encoders."""
