rule make_target_head:
    """Stage 1: where an attack wants the victim's head to be."""
    input:
        unpack(G.attack_inputs),
        code=G.attack_code("make_target_head.py"),
    output:
        TARGET,
    log:
        "logs/make_target_head/{dataset}/{encoder}/{target}.log",
    benchmark:
        "benchmarks/make_target_head/{dataset}/{encoder}/{target}.jsonl"
    resources:
        gpu=R.attack_gpu,
        mem_mb=R.memory(6, "make_target_head"),
        runtime=R.minutes(10, "make_target_head"),
    params:
        options=G.attack_options,
    shell:
        "python scripts/make_target_head.py {params.options:q} {output} 2> {log}"
