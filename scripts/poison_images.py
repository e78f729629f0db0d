"""Make poison images by an attack, all of them or one shard; resumes after a kill.

Which files it reads follows from the attack, which says so in its file in scripts/featpoison/attacks/.
"""

from featpoison.programs import attacking

if __name__ == "__main__":
    attacking.main(__doc__, makes="images")
