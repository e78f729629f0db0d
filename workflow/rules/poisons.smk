rule match_features:
    """Stage 3, feature matching, one shard; resumes from its last block."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        pairs=pairs_to_match,
        code=code("match_features.py"),
    output:
        temp(POISON_SHARD.replace("{attack}", "{matching}-beta{beta}")),
    log:
        "logs/match_features/{dataset}/{encoder}/{matching}-beta{beta}/eps{budget}-seed{seed}-{scatteritem}.log",
    benchmark:
        "benchmarks/match_features/{dataset}/{encoder}/{matching}-beta{beta}/eps{budget}-seed{seed}-{scatteritem}.jsonl"
    wildcard_constraints:
        matching=one_of(MATCHING_OF.values()),
    resources:
        gpu=GPU,
        mem_mb=growing_memory(6, "match_features"),
        runtime=growing_minutes(5, "match_features"),
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
        attack=f"({one_of(MATCHING_OF.values())})-beta[0-9.]+",
    resources:
        mem_mb=growing_memory(4),
        runtime=growing_minutes(15),
    shell:
        "python scripts/gather_shards.py --shards {input.shards} -- {output} 2> {log}"


rule poison_by_canceling:
    """GC-input, free or constrained; resumes from its last kept epoch."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        features=FEATURES,
        target=expand(TARGET, target=ATTACK_TARGET, allow_missing=True),
        code=code("poison_by_canceling.py"),
    output:
        POISONS.replace("{attack}", "gc-input{constrained}"),
    log:
        "logs/poison_by_canceling/{dataset}/{encoder}/gc-input{constrained}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/poison_by_canceling/{dataset}/{encoder}/gc-input{constrained}/eps{budget}-seed{seed}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8, "poison_by_canceling"),
        runtime=growing_minutes(15, "poison_by_canceling"),
    params:
        settings=constrained_settings(CONFIG.attacks.gc_input),
    shell:
        "python scripts/poison_by_canceling.py --images {input.images} --encoder {input.encoder} --features {input.features}"
        " --target {input.target} --budget {wildcards.budget} --seed {wildcards.seed}"
        " --settings {params.settings:q} {output} 2> {log}"


rule poison_by_tgda:
    """TGDA-input, free or constrained; resumes from its last kept epoch."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        features=FEATURES,
        clean=CLEAN_HEADS,
        code=code("poison_by_tgda.py"),
    output:
        POISONS.replace("{attack}", "tgda-input{constrained}"),
    log:
        "logs/poison_by_tgda/{dataset}/{encoder}/tgda-input{constrained}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/poison_by_tgda/{dataset}/{encoder}/tgda-input{constrained}/eps{budget}-seed{seed}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8, "poison_by_tgda"),
        runtime=growing_minutes(15, "poison_by_tgda"),
    params:
        settings=constrained_settings(CONFIG.attacks.tgda_input),
    shell:
        "python scripts/poison_by_tgda.py --images {input.images} --encoder {input.encoder} --features {input.features}"
        " --clean {input.clean} --budget {wildcards.budget} --seed {wildcards.seed}"
        " --settings {params.settings:q} {output} 2> {log}"


rule poison_by_bilevel:
    """Exact bilevel attack in input space (this project's); resumes from its last kept epoch."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        features=FEATURES,
        code=code("poison_by_bilevel.py"),
    output:
        POISONS.replace("{attack}", "exact-input{constrained}"),
    log:
        "logs/poison_by_bilevel/{dataset}/{encoder}/exact-input{constrained}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/poison_by_bilevel/{dataset}/{encoder}/exact-input{constrained}/eps{budget}-seed{seed}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8, "poison_by_bilevel"),
        runtime=growing_minutes(15, "poison_by_bilevel"),
    params:
        settings=constrained_settings(CONFIG.attacks.exact_input),
        victim=CONVERGED_SETTINGS,
    shell:
        "python scripts/poison_by_bilevel.py --images {input.images} --encoder {input.encoder} --features {input.features}"
        " --victim {params.victim:q} --budget {wildcards.budget} --seed {wildcards.seed}"
        " --settings {params.settings:q} {output} 2> {log}"


rule filter_poisons:
    """Feature matching-r: what the magnitude filter leaves of feature matching."""
    input:
        images=IMAGES,
        poisons=POISONS.replace("{attack}", "feature-matching-beta{beta}"),
        code=code("filter_poisons.py"),
    output:
        POISONS.replace("{attack}", "feature-matching-r-beta{beta}"),
    log:
        "logs/filter_poisons/{dataset}/{encoder}/beta{beta}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/filter_poisons/{dataset}/{encoder}/beta{beta}/eps{budget}-seed{seed}.jsonl"
    resources:
        mem_mb=growing_memory(4, "filter_poisons"),
        runtime=growing_minutes(5),
    shell:
        "python scripts/filter_poisons.py --images {input.images} --poisons {input.poisons} {output} 2> {log}"


rule invert_features:
    """Stage 3, decoder inversion: the U-Net's images, from the poisoned features and the images that these were initialised with."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        decoder=expand(DECODER, kind="skip", allow_missing=True),
        poisoned=expand(POISONED_FEATURES, attack="gc-feature", allow_missing=True),
        code=code("invert_features.py"),
    output:
        expand(POISONS, attack="decoder-inversion", allow_missing=True),
    log:
        "logs/invert_features/{dataset}/{encoder}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/invert_features/{dataset}/{encoder}/eps{budget}-seed{seed}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(6, "invert_features"),
        runtime=growing_minutes(5, "invert_features"),
    shell:
        "python scripts/invert_features.py --images {input.images} --encoder {input.encoder} --decoder {input.decoder}"
        " --features-of-poisons {input.poisoned} {output} 2> {log}"
