rule fetch_dataset:
    """Archive (embedded, mirror or download, digests checked) to uint8 images and labels."""
    input:
        embedded=G.embedded_archive,
        code=code("fetch_dataset.py"),
    output:
        IMAGES,
    log:
        "logs/fetch_dataset/{dataset}.log",
    benchmark:
        "benchmarks/fetch_dataset/{dataset}.jsonl"
    resources:
        mem_mb=R.memory(4),
        runtime=R.minutes(60),
    params:
        settings=G.settings("fetch_dataset"),
        downloads=ARCHIVES,
    shell:
        "python scripts/fetch_dataset.py --downloads {params.downloads} --settings {params.settings:q} {output} 2> {log}"
