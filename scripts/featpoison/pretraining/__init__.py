"""Contrastive pre-training without labels."""
