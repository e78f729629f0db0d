rule poison_features:
    """Stage 2: poisoned features, by the attack that the path names."""
    input:
        unpack(STEPS.attack_inputs),
    output:
        POISONED_FEATURES,
    log:
        "logs/poison_features/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/poison_features/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.jsonl"
    wildcard_constraints:
        attack=segments_making("features"),
    conda:
        "../../environment.yml"
    resources:
        gpu=PLANNED.attack_gpu,
        mem_mb=PLANNED.memory(8, "poison_features"),
        runtime=PLANNED.minutes(10, "poison_features"),
    params:
        code=STEPS.attack_code("poison_features.py"),
        options=STEPS.attack_options,
    shell:
        "python scripts/poison_features.py {params.options:q} --budget {wildcards.budget:q} --seed "
        "{wildcards.seed:q}"
        " {output:q} 2> {log:q}"


rule pair_features:
    """Each poisoned feature with a clean one, mostly the nearest: the base image and the label."""
    input:
        features=FEATURES,
        poisoned=POISONED_FEATURES,
    output:
        PAIRS,
    log:
        "logs/pair_features/{dataset}/{encoder}/{attack}/{pairing}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/pair_features/{dataset}/{encoder}/{attack}/{pairing}/eps{budget}-seed{seed}.jsonl"
    wildcard_constraints:
        attack=segments_making("features"),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(6, "pair_features"),
        runtime=PLANNED.minutes(10),
    params:
        code=code("pair_features.py"),
        options=STEPS.pairing_options,
    shell:
        "python scripts/pair_features.py --features {input.features:q} --poisoned {input.poisoned:q}"
        " {params.options:q} {output:q} 2> {log:q}"
