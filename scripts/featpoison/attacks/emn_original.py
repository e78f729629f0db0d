"""EMN against a whole network that starts from random weights."""

from featpoison.attacks.emn import attack

ATTACK = attack("original", "EMN, from scratch", "none")
