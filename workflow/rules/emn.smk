rule make_emn_noise:
    """EMN, one poison seed: noise for the whole training set; resumes from its last round."""
    input:
        unpack(STEPS.attack_inputs),
    output:
        NOISE,
    log:
        "logs/make_emn_noise/{dataset}/{encoder}/{attack}/seed{seed}.log",
    benchmark:
        "benchmarks/make_emn_noise/{dataset}/{encoder}/{attack}/seed{seed}.jsonl"
    wildcard_constraints:
        attack=segments_making("noise"),
    conda:
        "../../environment.yml"
    threads: CONFIG.emn_shards
    resources:
        gpu=GPU * CONFIG.emn_shards,
        mem_mb=PLANNED.memory(8, "make_emn_noise"),
        runtime=PLANNED.minutes(30, "make_emn_noise"),
    params:
        code=STEPS.attack_code("make_emn_noise.py"),
        options=STEPS.attack_options,
    shell:
        "python scripts/make_emn_noise.py {params.options:q} --seed {wildcards.seed:q} --devices "
        "{resources.gpu} {output:q} 2> {log:q}"


rule evaluate_emn:
    """Victims trained on the perturbed, the 8-bit and the clean images, all seeds; whole networks resume after
    the last finished one."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        noise=STEPS.noise_files,
    output:
        expand(VICTIMS, defence="none", budget="inf", allow_missing=True),
    log:
        "logs/evaluate_emn/{dataset}/{encoder}/{attack}.log",
    benchmark:
        "benchmarks/evaluate_emn/{dataset}/{encoder}/{attack}.jsonl"
    wildcard_constraints:
        attack=segments_making("noise"),
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(8, "evaluate_emn"),
        runtime=PLANNED.minutes(30, "evaluate_emn"),
    params:
        code=code("evaluate_emn.py"),
        settings=STEPS.settings("evaluate_emn"),
    shell:
        "python scripts/evaluate_emn.py --images {input.images:q} --encoder {input.encoder:q} --noise "
        "{input.noise:q}"
        " --settings {params.settings:q} -- {output:q} 2> {log:q}"
