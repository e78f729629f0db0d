"""EMN against a whole network that starts from the pre-trained encoder."""

from featpoison.attacks.emn import attack

ATTACK = attack("end-to-end", "EMN, end to end", "none")
