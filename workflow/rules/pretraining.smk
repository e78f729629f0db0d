from featpoison.graph.paths import (
    PRETRAINING_POISONS,
    SCREENED_IMAGES,
    SCREENED_POISONS,
    SNAPSHOTS,
    TARGET_MEASURES,
)


rule poison_pretraining:
    """Images that an attacker puts among those of pre-training."""
    input:
        images=STEPS.pretraining_images,
        downstream=STEPS.downstream_images,
    output:
        PRETRAINING_POISONS,
    log:
        "logs/poison_pretraining/{encoder}/{poisoning}.log",
    benchmark:
        "benchmarks/poison_pretraining/{encoder}/{poisoning}.jsonl"
    wildcard_constraints:
        encoder=one_of(STEPS.poisoned),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(4, "poison_pretraining"),
        runtime=PLANNED.minutes(15),
    params:
        code=STEPS.poisoning_code,
        options=STEPS.poisoning_options,
    shell:
        "python scripts/poison_pretraining.py {params.options:q} -- {output:q} 2> {log:q}"


rule screen_pretraining:
    """What a screening leaves of images and poisons before pre-training."""
    input:
        images=STEPS.pretraining_images,
        poisons=STEPS.pretraining_poisons,
        encoder=STEPS.screening_encoder,
    output:
        SCREENED_IMAGES,
        SCREENED_POISONS,
    log:
        "logs/screen_pretraining/{encoder}.log",
    benchmark:
        "benchmarks/screen_pretraining/{encoder}.jsonl"
    wildcard_constraints:
        encoder=one_of(STEPS.screened),
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(6, "screen_pretraining"),
        runtime=PLANNED.minutes(30),
    params:
        code=code("screen_pretraining.py"),
        settings=STEPS.settings("screen_pretraining"),
    shell:
        "python scripts/screen_pretraining.py --images {input.images:q} --poisons {input.poisons:q} --encoder "
        "{input.encoder:q} --settings {params.settings:q} -- {output:q} 2> {log:q}"


rule measure_targets:
    """What an encoder, and the clean heads on it, make of the targets of a poisoning."""
    input:
        aimed=STEPS.measured_files,
        features=FEATURES,
        heads=CLEAN_HEADS,
    output:
        TARGET_MEASURES,
    log:
        "logs/measure_targets/{dataset}/{encoder}/{poisoned}.log",
    benchmark:
        "benchmarks/measure_targets/{dataset}/{encoder}/{poisoned}.jsonl"
    wildcard_constraints:
        poisoned=one_of(STEPS.poisoned),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(4, "train_heads"),
        runtime=PLANNED.minutes(10),
    params:
        code=code("measure_targets.py"),
        options=STEPS.measure_options,
    shell:
        "python scripts/measure_targets.py {params.options:q} --task {wildcards.dataset:q} --features "
        "{input.features:q} --heads {input.heads:q} {output:q} 2> {log:q}"


rule collect_pretraining:
    """The numbers of the table of attacks on pre-training, one row a task and a victim."""
    input:
        measures=PRETRAINING.measure_files,
    output:
        f"{OUTPUT}/pretraining.csv",
    log:
        f"logs/collect_pretraining/{OUTPUT}.log",
    benchmark:
        f"benchmarks/collect_pretraining/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("collect_pretraining.py"),
        rows=PRETRAINING.rows_json,
    shell:
        "python scripts/collect_pretraining.py --rows {params.rows:q} {output:q} 2> {log:q}"


rule render_pretraining:
    """The table of attacks on pre-training for the paper (tex) and for the eye (pdf, png)."""
    input:
        numbers=f"{OUTPUT}/pretraining.csv",
    output:
        report(
            multiext(f"{OUTPUT}/pretraining", ".tex", ".pdf", ".png"),
            category="Tables",
            caption="../report/pretraining.rst",
        ),
    log:
        f"logs/render_pretraining/{OUTPUT}.log",
    benchmark:
        f"benchmarks/render_pretraining/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("render_pretraining.py"),
    shell:
        "python scripts/render_pretraining.py --numbers {input.numbers:q} {output:q} 2> {log:q}"


rule plot_success:
    """Success on targets against what differs between rows: cross pairs, rate, references, epochs, crops."""
    input:
        numbers=f"{OUTPUT}/pretraining.csv",
    output:
        report(
            multiext(f"{OUTPUT}/success", ".pdf", ".png"),
            category="Figures",
            caption="../report/success.rst",
        ),
    log:
        f"logs/plot_success/{OUTPUT}.log",
    benchmark:
        f"benchmarks/plot_success/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_success.py"),
    shell:
        "python scripts/plot_success.py --numbers {input.numbers:q} {output:q} 2> {log:q}"


rule plot_combinations:
    """Targets and the images that poison pre-training for them."""
    input:
        poisons=PRETRAINING.shown_poisons,
        downstream=PRETRAINING.shown_images,
    output:
        report(
            multiext(f"{OUTPUT}/combinations", ".pdf", ".png"),
            category="Figures",
            caption="../report/combinations.rst",
        ),
    log:
        f"logs/plot_combinations/{OUTPUT}.log",
    benchmark:
        f"benchmarks/plot_combinations/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_combinations.py"),
        options=PRETRAINING.shown_options,
    shell:
        "python scripts/plot_combinations.py --poisons {input.poisons:q} {params.options:q} -- {output:q} 2> {log:q}"


rule plot_neighbours:
    """The training images nearest to targets, on the clean and on the poisoned encoder."""
    input:
        unpack(PRETRAINING.neighbour_files),
    output:
        report(
            multiext(f"{OUTPUT}/neighbours", ".pdf", ".png"),
            category="Figures",
            caption="../report/neighbours.rst",
        ),
    log:
        f"logs/plot_neighbours/{OUTPUT}.log",
    benchmark:
        f"benchmarks/plot_neighbours/{OUTPUT}.jsonl"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code("plot_neighbours.py"),
        options=PRETRAINING.neighbour_options,
    shell:
        "python scripts/plot_neighbours.py {params.options:q} -- {output:q} 2> {log:q}"


rule judge_statements:
    """What a review states of PoisonedEncoder, judged by the intervals of our own numbers."""
    input:
        measures=PRETRAINING.measure_files,
        numbers=f"{OUTPUT}/pretraining.csv",
    output:
        report(
            f"{OUTPUT}/statements.md",
            category="Claims",
            caption="../report/statements.rst",
        ),
    log:
        f"logs/judge_statements/{OUTPUT}.log",
    benchmark:
        f"benchmarks/judge_statements/{OUTPUT}.jsonl"
    localrule: True
    conda:
        "../../environment.yml"
    params:
        code=code("judge_statements.py"),
        rows=PRETRAINING.rows_json,
    shell:
        "python scripts/judge_statements.py --rows {params.rows:q} --numbers {input.numbers:q} {output:q} 2> {log:q}"
