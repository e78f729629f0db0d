rule extract_quantized:
    """Features of the 8-bit copies of an attack's images, all poison seeds, one shard; where there is only one
    shard, the evaluation extracts them itself."""
    input:
        poisons=STEPS.poison_files,
        encoder=ENCODER,
    output:
        temp(QUANTIZED_SHARD),
    log:
        "logs/extract_quantized/{dataset}/{encoder}/{attack}/{defence}/eps{budget}-{scatteritem}.log",
    benchmark:
        "benchmarks/extract_quantized/{dataset}/{encoder}/{attack}/{defence}/eps{budget}-{scatteritem}.jsonl"
    wildcard_constraints:
        attack=segments_making("images"),
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(6, "extract_quantized"),
        runtime=PLANNED.minutes(5, "extract_quantized"),
    params:
        code=code("extract_quantized.py"),
    shell:
        "python scripts/extract_quantized.py --poisons {input.poisons:q} --encoder {input.encoder:q}"
        " --shard {wildcards.scatteritem:q} {output:q} 2> {log:q}"


rule evaluate_attack:
    """Both victims retrained on clean plus poisoned features, all poison and victim seeds together; for attacks
    that make images once more after rounding these to 8 bits."""
    input:
        unpack(STEPS.victim_inputs),
        quantized=quantized_shards,
    output:
        VICTIMS,
    log:
        "logs/evaluate_attack/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.log",
    benchmark:
        "benchmarks/evaluate_attack/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.jsonl"
    wildcard_constraints:
        attack=segments_making("features", "images"),
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(8, "evaluate_attack"),
        runtime=PLANNED.minutes(10, "evaluate_attack"),
    params:
        code=code("evaluate_attack.py"),
        files=STEPS.victim_options,
        settings=STEPS.settings("evaluate_attack"),
        quantized=STEPS.quantized_option,
    shell:
        "python scripts/evaluate_attack.py {params.files:q} {params.quantized:q} --settings "
        "{params.settings:q} {output:q} 2> {log:q}"
