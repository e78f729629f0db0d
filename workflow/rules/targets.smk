rule make_target_head:
    """Stage 1, GradPC from the cached features."""
    input:
        features=FEATURES,
        clean=CLEAN_HEADS,
        code=code("make_target_head.py"),
    output:
        expand(TARGET, target="gradpc-feature", allow_missing=True),
    log:
        "logs/make_target_head/{dataset}/{encoder}/gradpc-feature.log",
    benchmark:
        "benchmarks/make_target_head/{dataset}/{encoder}/gradpc-feature.jsonl"
    resources:
        mem_mb=growing_memory(6, "make_target_head"),
        runtime=growing_minutes(10),
    params:
        settings=GRADPC_SETTINGS,
    shell:
        "python scripts/make_target_head.py --features {input.features} --clean {input.clean}"
        " --settings {params.settings:q} {output} 2> {log}"


rule make_target_head_from_images:
    """Stage 1, GradPC with the gradient taken from images through the encoder."""
    input:
        features=FEATURES,
        clean=CLEAN_HEADS,
        images=IMAGES,
        encoder=ENCODER,
        code=code("make_target_head.py"),
    output:
        expand(TARGET, target="gradpc-input", allow_missing=True),
    log:
        "logs/make_target_head/{dataset}/{encoder}/gradpc-input.log",
    benchmark:
        "benchmarks/make_target_head/{dataset}/{encoder}/gradpc-input.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(6, "make_target_head_from_images"),
        runtime=growing_minutes(10, "make_target_head_from_images"),
    params:
        settings=GRADPC_SETTINGS,
    shell:
        "python scripts/make_target_head.py --features {input.features} --clean {input.clean}"
        " --images {input.images} --encoder {input.encoder} --settings {params.settings:q} {output} 2> {log}"
