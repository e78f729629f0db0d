rule make_target_head:
    """Stage 1: where an attack wants the victim's head to be."""
    input:
        unpack(STEPS.attack_inputs),
    output:
        TARGET,
    log:
        "logs/make_target_head/{dataset}/{encoder}/{target}.log",
    benchmark:
        "benchmarks/make_target_head/{dataset}/{encoder}/{target}.jsonl"
    wildcard_constraints:
        target=one_of(STEPS.targets),
    conda:
        "../../environment.yml"
    resources:
        gpu=PLANNED.attack_gpu,
        mem_mb=PLANNED.memory(6, "make_target_head"),
        runtime=PLANNED.minutes(10, "make_target_head"),
    params:
        code=STEPS.attack_code("make_target_head.py"),
        options=STEPS.target_options,
    shell:
        "python scripts/make_target_head.py {params.options:q} {output:q} 2> {log:q}"


use rule make_target_head as make_target_head_of_budget with:
    output:
        TARGET_OF_BUDGET,
    log:
        "logs/make_target_head/{dataset}/{encoder}/{target}/eps{budget}.log",
    benchmark:
        "benchmarks/make_target_head/{dataset}/{encoder}/{target}/eps{budget}.jsonl"
    wildcard_constraints:
        target=one_of(STEPS.targets_of_budget),
