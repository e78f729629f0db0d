rule import_encoder:
    """Weights from the repository or a download, checked by digest and keys, and converted where foreign."""
    input:
        embedded=STEPS.embedded_weights,
    output:
        ENCODER,
    log:
        "logs/import_encoder/{encoder}.log",
    benchmark:
        "benchmarks/import_encoder/{encoder}.jsonl"
    wildcard_constraints:
        encoder=one_of(STEPS.imported),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(4),
        runtime=PLANNED.minutes(60),
    params:
        code=code("import_encoder.py"),
        settings=STEPS.settings("import_encoder"),
        conversion=STEPS.conversion_option,
        downloads=ARCHIVES,
    shell:
        "python scripts/import_encoder.py --downloads {params.downloads:q} --settings {params.settings:q}"
        " {params.conversion:q} {output:q} 2> {log:q}"


rule pretrain_encoder:
    """SimCLR without labels, on poisons where there are any; resumes from its last epoch."""
    input:
        images=STEPS.trained_images,
        poisons=STEPS.trained_poisons,
        start=STEPS.starting_encoder,
    output:
        ENCODER,
    log:
        "logs/pretrain_encoder/{encoder}.log",
    benchmark:
        "benchmarks/pretrain_encoder/{encoder}.jsonl"
    wildcard_constraints:
        encoder=one_of(STEPS.trained_at_once),
    conda:
        "../../environment.yml"
    threads: 8
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(8, "pretrain_encoder"),
        runtime=PLANNED.minutes(30, "pretrain_encoder"),
    params:
        code=code("pretrain_encoder.py"),
        settings=STEPS.settings("pretrain_encoder"),
        options=STEPS.pretraining_options,
    shell:
        "python scripts/pretrain_encoder.py --threads {threads} {params.options:q} --settings "
        "{params.settings:q} -- {output:q} 2> {log:q}"


use rule pretrain_encoder as pretrain_in_stages with:
    output:
        ENCODER,
        SNAPSHOTS,
    wildcard_constraints:
        encoder=one_of(STEPS.kept_in_stages),


rule take_snapshot:
    """The encoder of a pre-training that stopped early."""
    input:
        snapshots=STEPS.snapshots_file,
    output:
        ENCODER,
    log:
        "logs/take_snapshot/{encoder}.log",
    benchmark:
        "benchmarks/take_snapshot/{encoder}.jsonl"
    wildcard_constraints:
        encoder=one_of(STEPS.snapshots),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(4),
        runtime=PLANNED.minutes(10),
    params:
        code=code("take_snapshot.py"),
        epoch=STEPS.snapshot_epoch,
    shell:
        "python scripts/take_snapshot.py --snapshots {input.snapshots:q} --epoch {params.epoch:q} {output:q} 2> {log:q}"


rule describe_encoder:
    """What a pre-trained encoder is worth on a data set: losses, linear accuracy, provenance."""
    input:
        encoder=ENCODER,
        images=STEPS.pretraining_images,
        clean=CLEAN_HEADS,
    output:
        ENCODER_FACTS,
    log:
        "logs/describe_encoder/{dataset}/{encoder}.log",
    benchmark:
        "benchmarks/describe_encoder/{dataset}/{encoder}.jsonl"
    wildcard_constraints:
        encoder=one_of(STEPS.pretrained),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(4),
        runtime=PLANNED.minutes(15),
    params:
        code=code("describe_encoder.py"),
    shell:
        "python scripts/describe_encoder.py --encoder {input.encoder:q} --images {input.images:q} --clean "
        "{input.clean:q} {output:q} 2> {log:q}"
