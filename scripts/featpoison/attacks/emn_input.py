"""EMN against a linear head on the frozen encoder."""

from featpoison.attacks.emn import attack

ATTACK = attack("input", "EMN, frozen encoder", "input")
