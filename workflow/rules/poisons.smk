rule poison_images:
    """Stage 3, and attacks in input space: poison images, by the attack that the path names; resumes."""
    input:
        unpack(STEPS.attack_inputs),
    output:
        POISONS,
    log:
        "logs/poison_images/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/poison_images/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.jsonl"
    wildcard_constraints:
        attack=segments_of(STEPS.whole),
    conda:
        "../../environment.yml"
    resources:
        gpu=PLANNED.attack_gpu,
        mem_mb=PLANNED.memory(8, "poison_images"),
        runtime=PLANNED.minutes(15, "poison_images"),
    params:
        code=STEPS.attack_code("poison_images.py"),
        options=STEPS.attack_options,
    shell:
        "python scripts/poison_images.py {params.options:q} --budget {wildcards.budget:q} --seed "
        "{wildcards.seed:q}"
        " {output:q} 2> {log:q}"


if STEPS.shardable:

    use rule poison_images as poison_shard with:
        output:
            temp(POISON_SHARD),
        log:
            "logs/poison_images/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}-{scatteritem}.log",
        benchmark:
            "benchmarks/poison_images/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}-{scatteritem}.jsonl"
        wildcard_constraints:
            attack=segments_of(STEPS.shardable),
        params:
            code=STEPS.attack_code("poison_images.py"),
            options=STEPS.shard_options,

    localrules:
        gather_poisons,

    rule gather_poisons:
        """The shards of one attack, in order."""
        input:
            shards=gather.poison(POISON_SHARD, allow_missing=True),
        output:
            POISONS,
        log:
            "logs/gather_poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.log",
        benchmark:
            "benchmarks/gather_poisons/{dataset}/{encoder}/{attack}/eps{budget}-seed{seed}.jsonl"
        wildcard_constraints:
            attack=segments_of(STEPS.shardable),
        conda:
            "../../environment.yml"
        resources:
            mem_mb=PLANNED.memory(4),
            runtime=PLANNED.minutes(15),
        params:
            code=code("gather_shards.py"),
        shell:
            "python scripts/gather_shards.py --shards {input.shards:q} -- {output:q} 2> {log:q}"


rule defend_poisons:
    """The poisons that a defence lets pass."""
    input:
        unpack(STEPS.defence_inputs),
    output:
        DEFENDED,
    log:
        "logs/defend_poisons/{dataset}/{encoder}/{attack}/{defence}/eps{budget}-seed{seed}.log",
    benchmark:
        "benchmarks/defend_poisons/{dataset}/{encoder}/{attack}/{defence}/eps{budget}-seed{seed}.jsonl"
    wildcard_constraints:
        defence=one_of(configuration.POISONS_ALONE),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(4, "defend_poisons"),
        runtime=PLANNED.minutes(5),
    params:
        code=STEPS.defence_code,
        options=STEPS.defence_options,
    shell:
        "python scripts/defend_poisons.py {params.options:q} {output:q} 2> {log:q}"
