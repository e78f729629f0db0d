"""Make a target head: where an attack wants the victim's head to be.

Which files it reads follows from the attack, which says so in its file in scripts/featpoison/attacks/.
"""

from featpoison.programs import attacking

if __name__ == "__main__":
    attacking.main(__doc__, makes="target")
