rule evaluate_attack:
    """Both victims retrained on clean plus poisoned features, all poison and victim seeds together."""
    input:
        features=FEATURES,
        target=expand(TARGET, target=ATTACK_TARGET, allow_missing=True),
        poisons=poison_files,
        code=code("evaluate_attack.py"),
    output:
        VICTIMS,
    log:
        "logs/evaluate_attack/{dataset}/{encoder}/{attack}/eps{budget}.log",
    benchmark:
        "benchmarks/evaluate_attack/{dataset}/{encoder}/{attack}/eps{budget}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(16),
        runtime=growing_minutes(60),
    params:
        settings=VICTIM_SETTINGS,
    shell:
        "python scripts/evaluate_attack.py --features {input.features} --target {input.target}"
        " --poisons {input.poisons} --settings {params.settings:q} {output} 2> {log}"
