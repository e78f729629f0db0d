rule cancel_gradient:
    """Stage 2, gradient canceling in feature space."""
    input:
        features=FEATURES,
        target=expand(TARGET, target=ATTACK_TARGET, allow_missing=True),
        code=code("cancel_gradient.py"),
    output:
        expand(POISONED_FEATURES, attack="gc-feature", allow_missing=True),
    log:
        "logs/cancel_gradient/{dataset}/{encoder}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/cancel_gradient/{dataset}/{encoder}/eps{budget}-seed{seed}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(6, "cancel_gradient"),
        runtime=growing_minutes(5, "cancel_gradient"),
    params:
        settings=CANCELING_SETTINGS,
    shell:
        "python scripts/cancel_gradient.py --features {input.features} --target {input.target}"
        " --budget {wildcards.budget} --seed {wildcards.seed} --settings {params.settings:q} {output} 2> {log}"


rule poison_features_by_bilevel:
    """Exact bilevel attack in feature space (this project's)."""
    input:
        features=FEATURES,
        code=code("poison_features_by_bilevel.py"),
    output:
        expand(POISONED_FEATURES, attack="exact-feature", allow_missing=True),
    log:
        "logs/poison_features_by_bilevel/{dataset}/{encoder}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/poison_features_by_bilevel/{dataset}/{encoder}/eps{budget}-seed{seed}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8, "poison_features_by_bilevel"),
        runtime=growing_minutes(10, "poison_features_by_bilevel"),
    params:
        settings=EXACT_SETTINGS,
        victim=CONVERGED_SETTINGS,
    shell:
        "python scripts/poison_features_by_bilevel.py --features {input.features} --budget {wildcards.budget}"
        " --seed {wildcards.seed} --settings {params.settings:q} --victim {params.victim:q} {output} 2> {log}"


rule pair_features:
    """Each poisoned feature with its nearest clean one: the base image and the label."""
    input:
        features=FEATURES,
        poisoned=POISONED_FEATURES,
        code=code("pair_features.py"),
    output:
        PAIRS,
    log:
        "logs/pair_features/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/pair_features/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.jsonl"
    resources:
        mem_mb=growing_memory(6, "pair_features"),
        runtime=growing_minutes(10),
    params:
        option=pairing_option,
    shell:
        "python scripts/pair_features.py --features {input.features} --poisoned {input.poisoned}"
        " {params.option} {output} 2> {log}"
