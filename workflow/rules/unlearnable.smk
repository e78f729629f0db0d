rule make_unlearnable:
    """EMN, one variant and poison seed: noise for the whole training set; resumes from its last round."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        code=code("make_emn_noise.py"),
    output:
        UNLEARNABLE,
    log:
        "logs/make_unlearnable/{dataset}/{encoder}/{variant}/seed{seed}.log",
    benchmark:
        "benchmarks/make_unlearnable/{dataset}/{encoder}/{variant}/seed{seed}.jsonl"
    threads: CONFIG.unlearnable_shards
    resources:
        gpu=GPU * CONFIG.unlearnable_shards,
        mem_mb=growing_memory(8, "make_unlearnable"),
        runtime=growing_minutes(30, "make_unlearnable"),
    params:
        settings=EMN_SETTINGS,
    shell:
        "python scripts/make_emn_noise.py --images {input.images} --encoder {input.encoder} --variant {wildcards.variant}"
        " --seed {wildcards.seed} --settings {params.settings:q} --shards {resources.gpu} {output} 2> {log}"


rule evaluate_unlearnable:
    """Victims trained on the perturbed, the 8-bit and the clean images, all seeds; whole networks resume after the last finished one."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        noise=unlearnable_noise,
        code=code("evaluate_emn.py"),
    output:
        expand(VICTIMS, attack="emn-{variant}", budget="inf", allow_missing=True),
    log:
        "logs/evaluate_unlearnable/{dataset}/{encoder}/{variant}.log",
    benchmark:
        "benchmarks/evaluate_unlearnable/{dataset}/{encoder}/{variant}.jsonl"
    resources:
        gpu=GPU,
        mem_mb=growing_memory(8, "evaluate_unlearnable"),
        runtime=growing_minutes(30, "evaluate_unlearnable"),
    params:
        settings=unlearnable_victim_settings,
    shell:
        "python scripts/evaluate_emn.py --images {input.images} --encoder {input.encoder} --noise {input.noise}"
        " --settings {params.settings:q} -- {output} 2> {log}"
