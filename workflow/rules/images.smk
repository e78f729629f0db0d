rule fetch_dataset:
    """Archive (embedded, mirror or download, digests checked) to uint8 images and labels."""
    input:
        embedded=embedded_archive,
        code=code("fetch_dataset.py"),
    output:
        IMAGES,
    log:
        "logs/fetch_dataset/{dataset}.log",
    benchmark:
        "benchmarks/fetch_dataset/{dataset}.jsonl"
    resources:
        mem_mb=growing_memory(4),
        runtime=growing_minutes(60),
    params:
        settings=dataset_settings,
        downloads=ARCHIVES,
    shell:
        "python scripts/fetch_dataset.py --downloads {params.downloads} --settings {params.settings:q} {output} 2> {log}"
