rule cancel_gradient:
    """Stage 2, gradient canceling in feature space."""
    input:
        features=FEATURES,
        target=expand(TARGET, target=ATTACK_TARGET, allow_missing=True),
        code=code("cancel_gradient.py"),
    output:
        POISONED_FEATURES,
    log:
        "logs/cancel_gradient/{dataset}/{encoder}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/cancel_gradient/{dataset}/{encoder}/eps{budget}-seed{seed}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8),
        runtime=growing_minutes(30),
    params:
        settings=CANCELING_SETTINGS,
    shell:
        "python scripts/cancel_gradient.py --features {input.features} --target {input.target}"
        " --budget {wildcards.budget} --seed {wildcards.seed} --settings {params.settings:q} {output} 2> {log}"


rule pair_features:
    """Each poisoned feature with its nearest clean one: the base image and the label."""
    input:
        features=FEATURES,
        poisoned=POISONED_FEATURES,
        code=code("pair_features.py"),
    output:
        PAIRS,
    log:
        "logs/pair_features/{dataset}/{encoder}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/pair_features/{dataset}/{encoder}/eps{budget}-seed{seed}.jsonl"
    resources:
        mem_mb=growing_memory(8),
        runtime=growing_minutes(15),
    shell:
        "python scripts/pair_features.py --features {input.features} --poisoned {input.poisoned} {output} 2> {log}"
