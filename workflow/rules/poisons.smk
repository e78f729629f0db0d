rule match_features:
    """Stage 3, feature matching, one shard; resumes from its last block."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        pairs=PAIRS,
        code=code("match_features.py"),
    output:
        temp(POISON_SHARD.replace("{attack}", "feature-matching-beta{beta}")),
    log:
        "logs/match_features/{dataset}/{encoder}/beta{beta}/eps{budget}-seed{seed}-{scatteritem}.log",
    benchmark:
        "benchmarks/match_features/{dataset}/{encoder}/beta{beta}/eps{budget}-seed{seed}-{scatteritem}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8),
        runtime=growing_minutes(120),
    params:
        settings=matching_settings,
    shell:
        "python scripts/match_features.py --images {input.images} --encoder {input.encoder} --pairs {input.pairs}"
        " --settings {params.settings:q} --shard {wildcards.scatteritem} {output} 2> {log}"


rule gather_shards:
    """The shards of one attack, in order."""
    input:
        shards=gather.match(POISON_SHARD, allow_missing=True),
        code=code("gather_shards.py"),
    output:
        POISONS,
    log:
        "logs/gather_shards/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/gather_shards/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.jsonl"
    wildcard_constraints:
        attack="feature-matching-.+",
    resources:
        mem_mb=growing_memory(4),
        runtime=growing_minutes(15),
    shell:
        "python scripts/gather_shards.py --shards {input.shards} -- {output} 2> {log}"


rule invert_features:
    """Stage 3, decoder inversion: the U-Net's images, from the poisoned features and the images that these were initialised with."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        decoder=expand(DECODER, kind="skip", allow_missing=True),
        poisoned=POISONED_FEATURES,
        code=code("invert_features.py"),
    output:
        expand(POISONS, attack="decoder-inversion", allow_missing=True),
    log:
        "logs/invert_features/{dataset}/{encoder}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/invert_features/{dataset}/{encoder}/eps{budget}-seed{seed}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8),
        runtime=growing_minutes(15),
    shell:
        "python scripts/invert_features.py --images {input.images} --encoder {input.encoder} --decoder {input.decoder}"
        " --features-of-poisons {input.poisoned} {output} 2> {log}"
