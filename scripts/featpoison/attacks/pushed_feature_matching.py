"""pushed-feature-matching (this project, an ablation): feature matching of pushed features."""

from dataclasses import replace

from featpoison.attacks import feature_matching

ATTACK = replace(
    feature_matching.ATTACK,
    name="pushed-feature-matching",
    title="Pushed features, matched",
    section="feature_matching",
    ours=True,
    sets=("cap", "emittable"),
    default_cap=1.0,
    poisoned_by="pushed-feature",
)
