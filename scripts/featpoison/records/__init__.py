"""What a product says of itself: provenance, the checkpoints of long work, the seal of safetensors files."""
