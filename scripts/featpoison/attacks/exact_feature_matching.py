"""exact-feature-matching (this project): feature matching of what exact-feature found, each within its own
class."""

from dataclasses import replace

from featpoison.attacks import feature_matching

ATTACK = replace(
    feature_matching.ATTACK,
    name="exact-feature-matching",
    title="Exact bilevel, matched",
    section="feature_matching",
    ours=True,
    sets=("cap", "emittable"),
    default_cap=1.0,
    poisoned_by="exact-feature",
    pairing="within-class",
)
