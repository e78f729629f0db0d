"""The downstream task: features and labels, victims that are retrained, whole networks, and measures."""
