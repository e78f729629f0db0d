"""Encoders: architectures, the conversion of published checkpoints, features, and decoders."""
