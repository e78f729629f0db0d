rule train_heads:
    """The clean heads: what every drop is measured against."""
    input:
        features=FEATURES,
    output:
        CLEAN_HEADS,
    log:
        "logs/train_heads/{dataset}/{encoder}.log",
    benchmark:
        "benchmarks/train_heads/{dataset}/{encoder}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(6, "train_heads"),
        runtime=PLANNED.minutes(10, "train_heads"),
    params:
        code=code("train_heads.py"),
        settings=STEPS.settings("train_heads"),
    shell:
        "python scripts/train_heads.py --features {input.features:q} --settings {params.settings:q} {output:q} "
        "2> {log:q}"


rule train_trajectory:
    """Heads at several stages of training: where the search for reachable target heads begins."""
    input:
        features=FEATURES,
    output:
        TRAJECTORY,
    log:
        "logs/train_trajectory/{dataset}/{encoder}.log",
    benchmark:
        "benchmarks/train_trajectory/{dataset}/{encoder}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(6, "train_trajectory"),
        runtime=PLANNED.minutes(30, "train_trajectory"),
    params:
        code=code("train_trajectory.py"),
        settings=STEPS.settings("train_trajectory"),
    shell:
        "python scripts/train_trajectory.py --features {input.features:q} --settings {params.settings:q} "
        "{output:q} 2> {log:q}"
