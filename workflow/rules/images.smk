rule fetch_dataset:
    """Archive (embedded, mirror or download, digests checked) to uint8 images and labels."""
    input:
        embedded=STEPS.embedded_archive,
    output:
        IMAGES,
    log:
        "logs/fetch_dataset/{dataset}.log",
    benchmark:
        "benchmarks/fetch_dataset/{dataset}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(4),
        runtime=PLANNED.minutes(60),
    params:
        code=code("fetch_dataset.py"),
        settings=STEPS.settings("fetch_dataset"),
        downloads=ARCHIVES,
    shell:
        "python scripts/fetch_dataset.py --downloads {params.downloads:q} --settings {params.settings:q} "
        "{output:q} 2> {log:q}"
