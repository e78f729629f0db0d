"""What a product says of itself: provenance, checkpoints of long work, the seal of safetensors files."""
