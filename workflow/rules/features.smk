rule extract_features:
    """Features of all training and test images under the frozen encoder."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        code=code("extract_features.py"),
    output:
        FEATURES,
    log:
        "logs/extract_features/{dataset}/{encoder}.log",
    benchmark:
        "benchmarks/extract_features/{dataset}/{encoder}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8),
        runtime=growing_minutes(15, "extract_features"),
    shell:
        "python scripts/extract_features.py --images {input.images} --encoder {input.encoder} {output} 2> {log}"
