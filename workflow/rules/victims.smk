rule evaluate_features:
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
    wildcard_constraints:
        attack=one_of(FEATURE_ATTACKS),
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8, "evaluate_features"),
        runtime=growing_minutes(10, "evaluate_features"),
    params:
        settings=VICTIM_SETTINGS,
    shell:
        "python scripts/evaluate_attack.py --features {input.features} --target {input.target}"
        " --poisons {input.poisons} --settings {params.settings:q} {output} 2> {log}"


rule extract_quantized:
    """Features of the 8-bit copies of an attack's images, all poison seeds, one shard; in one job with the evaluation where it is the only one."""
    input:
        poisons=poison_files,
        encoder=ENCODER,
        code=code("extract_quantized.py"),
    output:
        temp(QUANTIZED_SHARD),
    log:
        "logs/extract_quantized/{dataset}/{encoder}/{attack}/eps{budget}-{scatteritem}.log",
    benchmark:
        "benchmarks/extract_quantized/{dataset}/{encoder}/{attack}/eps{budget}-{scatteritem}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(6, "extract_quantized"),
        runtime=growing_minutes(5, "extract_quantized"),
    shell:
        "python scripts/extract_quantized.py --poisons {input.poisons} --encoder {input.encoder}"
        " --shard {wildcards.scatteritem} {output} 2> {log}"


rule evaluate_images:
    """Like `evaluate_features` for attacks that make images, and once more after rounding these to 8 bits."""
    input:
        features=FEATURES,
        target=expand(TARGET, target=ATTACK_TARGET, allow_missing=True),
        poisons=poison_files,
        images=IMAGES,
        encoder=ENCODER,
        quantized=quantized_shards,
        code=code("evaluate_attack.py"),
    output:
        VICTIMS,
    log:
        "logs/evaluate_attack/{dataset}/{encoder}/{attack}/eps{budget}.log",
    benchmark:
        "benchmarks/evaluate_attack/{dataset}/{encoder}/{attack}/eps{budget}.jsonl"
    wildcard_constraints:
        attack=f"({one_of(IMAGE_ATTACKS)})(-beta[0-9.]+)?",
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8, "evaluate_images"),
        runtime=growing_minutes(10, "evaluate_images"),
    params:
        settings=VICTIM_SETTINGS,
        quantized=quantized_option,
    shell:
        "python scripts/evaluate_attack.py --features {input.features} --target {input.target}"
        " --poisons {input.poisons} --images {input.images} --encoder {input.encoder} {params.quantized}"
        " --settings {params.settings:q} {output} 2> {log}"
