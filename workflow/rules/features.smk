if CONFIG.feature_shards == 1:

    rule extract_features:
        """Features of all training and test images under the frozen encoder."""
        input:
            images=IMAGES,
            encoder=ENCODER,
        output:
            FEATURES,
        log:
            "logs/extract_features/{dataset}/{encoder}.log",
        benchmark:
            "benchmarks/extract_features/{dataset}/{encoder}.jsonl"
        conda:
            "../../environment.yml"
        resources:
            gpu=GPU,
            mem_mb=PLANNED.memory(6, "extract_features"),
            runtime=PLANNED.minutes(15, "extract_features"),
        params:
            code=code("extract_features.py"),
        shell:
            "python scripts/extract_features.py --images {input.images:q} --encoder {input.encoder:q} {output:q} "
            "2> {log:q}"

else:

    rule extract_features:
        """The same, one shard."""
        input:
            images=IMAGES,
            encoder=ENCODER,
        output:
            temp(FEATURE_SHARD),
        log:
            "logs/extract_features/{dataset}/{encoder}-{scatteritem}.log",
        benchmark:
            "benchmarks/extract_features/{dataset}/{encoder}-{scatteritem}.jsonl"
        conda:
            "../../environment.yml"
        resources:
            gpu=GPU,
            mem_mb=PLANNED.memory(6, "extract_features"),
            runtime=PLANNED.minutes(15, "extract_features"),
        params:
            code=code("extract_features.py"),
        shell:
            "python scripts/extract_features.py --images {input.images:q} --encoder {input.encoder:q}"
            " --shard {wildcards.scatteritem:q} {output:q} 2> {log:q}"

    localrules:
        gather_features,

    rule gather_features:
        """The shards of one feature cache, in order."""
        input:
            shards=gather.extract(FEATURE_SHARD, allow_missing=True),
        output:
            FEATURES,
        log:
            "logs/gather_features/{dataset}/{encoder}.log",
        benchmark:
            "benchmarks/gather_features/{dataset}/{encoder}.jsonl"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=PLANNED.memory(8),
            runtime=PLANNED.minutes(15),
        params:
            code=code("gather_shards.py"),
        shell:
            "python scripts/gather_shards.py --shards {input.shards:q} -- {output:q} 2> {log:q}"
