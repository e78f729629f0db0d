"""Encoders: architectures, conversion of published checkpoints, features, decoders."""
