"""The downstream task: features and labels, retrained victims, whole networks, measures."""
