rule plot_reconstructions:
    """Figure 4: test images and their reconstructions by each kind of decoder."""
    input:
        reconstructions=SHOWN.shown(RECONSTRUCTIONS),
    output:
        report(
            multiext(f"{OUTPUT}/figure4", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure4.rst",
        ),
    log:
        f"logs/plot_reconstructions/{OUTPUT}/figure4.log",
    benchmark:
        f"benchmarks/plot_reconstructions/{OUTPUT}/figure4.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_reconstructions.py"),
    shell:
        "python scripts/plot_reconstructions.py --reconstructions {input.reconstructions:q} {output:q} 2> {log:q}"


rule plot_poisons:
    """Figure 5: clean images and their poisons, one row per beta."""
    input:
        images=SHOWN.images_of("scenario"),
        poisons=SHOWN.shown_poisons,
    output:
        report(
            multiext(f"{OUTPUT}/figure5", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure5.rst",
        ),
    log:
        f"logs/plot_poisons/{OUTPUT}/figure5.log",
    benchmark:
        f"benchmarks/plot_poisons/{OUTPUT}/figure5.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_poisons.py"),
        shown=SHOWN.value_of("images"),
    shell:
        "python scripts/plot_poisons.py --images {input.images:q} --count {params.shown:q}"
        " --poisons {input.poisons:q} -- {output:q} 2> {log:q}"


rule plot_magnitudes:
    """Figure 6: histogram of the poisons' largest pixel."""
    input:
        images=SHOWN.images_of("scenario"),
        poisons=SHOWN.shown_poisons,
        transfer=SHOWN.transfer_poisons,
    output:
        report(
            multiext(f"{OUTPUT}/figure6", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure6.rst",
        ),
    log:
        f"logs/plot_magnitudes/{OUTPUT}/figure6.log",
    benchmark:
        f"benchmarks/plot_magnitudes/{OUTPUT}/figure6.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_magnitudes.py"),
        names=SHOWN.shown_scenarios,
    shell:
        "python scripts/plot_magnitudes.py --images {input.images:q} --poisons {input.poisons:q}"
        " --transfer {input.transfer:q} --names {params.names:q} -- {output:q} 2> {log:q}"


rule plot_perturbations:
    """Figure 9: what feature matching added to the base images."""
    input:
        images=SHOWN.images_of("scenario"),
        poisons=SHOWN.shown_poisons,
    output:
        report(
            multiext(f"{OUTPUT}/figure9", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure9.rst",
        ),
    log:
        f"logs/plot_perturbations/{OUTPUT}/figure9.log",
    benchmark:
        f"benchmarks/plot_perturbations/{OUTPUT}/figure9.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_perturbations.py"),
        shown=SHOWN.value_of("images"),
    shell:
        "python scripts/plot_perturbations.py --images {input.images:q} --count {params.shown:q}"
        " --poisons {input.poisons:q} -- {output:q} 2> {log:q}"


rule plot_threat_model:
    """Figure 1: the encoder is pre-trained on clean images, the head trained on poisoned ones."""
    input:
        images=SHOWN.images_of("scenario"),
        encoder=SHOWN.shown(ENCODER),
        poisons=SHOWN.first_shown,
        victims=SHOWN.first_shown_victims,
        features=SHOWN.shown(FEATURES),
        clean=SHOWN.shown(CLEAN_HEADS),
    output:
        report(
            multiext(f"{OUTPUT}/figure1", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure1.rst",
        ),
    log:
        f"logs/plot_threat_model/{OUTPUT}/figure1.log",
    benchmark:
        f"benchmarks/plot_threat_model/{OUTPUT}/figure1.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_threat_model.py"),
    shell:
        "python scripts/plot_threat_model.py --images {input.images:q} --encoder {input.encoder:q} --poisons "
        "{input.poisons:q} --victims {input.victims:q} --features {input.features:q} --clean {input.clean:q} {output:q} "
        "2> {log:q}"


rule plot_input_poisons:
    """Figure 2: clean images and the poisons of unconstrained canceling in input space."""
    input:
        images=SHOWN.images_of("scenario"),
        poisons=SHOWN.input_poisons,
        victims=SHOWN.input_victims,
        features=SHOWN.shown(FEATURES),
        clean=SHOWN.shown(CLEAN_HEADS),
    output:
        report(
            multiext(f"{OUTPUT}/figure2", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure2.rst",
        ),
    log:
        f"logs/plot_input_poisons/{OUTPUT}/figure2.log",
    benchmark:
        f"benchmarks/plot_input_poisons/{OUTPUT}/figure2.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_input_poisons.py"),
        shown=SHOWN.value_of("images"),
    shell:
        "python scripts/plot_input_poisons.py --images {input.images:q} --count {params.shown:q} --poisons "
        "{input.poisons:q} --victims {input.victims:q} --features {input.features:q} --clean {input.clean:q} {output:q} "
        "2> {log:q}"


rule plot_stages:
    """Figure 3: target head, poisoned features and inversion in the plane of the clean features."""
    input:
        images=SHOWN.images_of("scenario"),
        features=SHOWN.shown(FEATURES),
        clean=SHOWN.shown(CLEAN_HEADS),
        target=SHOWN.target,
        poisoned=SHOWN.canceled_features,
        poisons=SHOWN.first_shown,
    output:
        report(
            multiext(f"{OUTPUT}/figure3", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure3.rst",
        ),
    log:
        f"logs/plot_stages/{OUTPUT}/figure3.log",
    benchmark:
        f"benchmarks/plot_stages/{OUTPUT}/figure3.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_stages.py"),
    shell:
        "python scripts/plot_stages.py --images {input.images:q} --features {input.features:q} --clean "
        "{input.clean:q}"
        " --target {input.target:q} --poisoned {input.poisoned:q} --poisons {input.poisons:q} {output:q} 2> {log:q}"


rule plot_anomalies:
    """Figure 7: poisons within and beyond the clean range in the transfer scenario."""
    input:
        images=SHOWN.images_of("transfer"),
        poisons=SHOWN.transfer_poisons,
    output:
        report(
            multiext(f"{OUTPUT}/figure7", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure7.rst",
        ),
    log:
        f"logs/plot_anomalies/{OUTPUT}/figure7.log",
    benchmark:
        f"benchmarks/plot_anomalies/{OUTPUT}/figure7.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_anomalies.py"),
    shell:
        "python scripts/plot_anomalies.py --images {input.images:q} --poisons {input.poisons:q} -- {output:q} 2> "
        "{log:q}"


rule plot_emn:
    """Figure 8: clean images, EMN's poisons by scenario, and their perturbations amplified."""
    input:
        images=SHOWN.emn_images,
        noise=SHOWN.shown_noise,
    output:
        report(
            multiext(f"{OUTPUT}/figure8", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure8.rst",
        ),
    log:
        f"logs/plot_emn/{OUTPUT}/figure8.log",
    benchmark:
        f"benchmarks/plot_emn/{OUTPUT}/figure8.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_emn.py"),
        shown=SHOWN.value_of("images"),
        amplification=SHOWN.value_of("amplification"),
        names=SHOWN.value_of("emn"),
    shell:
        "python scripts/plot_emn.py --images {input.images:q} --noise {input.noise:q} --names {params.names:q}"
        " --count {params.shown:q} --amplification {params.amplification:q} -- {output:q} 2> {log:q}"


rule plot_examples:
    """Figure 10: clean images of a downstream data set."""
    input:
        images=SHOWN.images_of("examples"),
    output:
        report(
            multiext(f"{OUTPUT}/figure10", ".pdf", ".png"),
            category="Figures",
            caption="../report/figure10.rst",
        ),
    log:
        f"logs/plot_examples/{OUTPUT}/figure10.log",
    benchmark:
        f"benchmarks/plot_examples/{OUTPUT}/figure10.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_examples.py"),
        shown=SHOWN.value_of("images"),
    shell:
        "python scripts/plot_examples.py --images {input.images:q} --count {params.shown:q} {output:q} 2> {log:q}"


rule measure_reach:
    """What steps of parameter corruption cost, and whether poisons can hold the heads that they lead to."""
    input:
        features=FEATURES,
        trajectory=TRAJECTORY,
    output:
        REACH,
    log:
        "logs/measure_reach/{dataset}/{encoder}.log",
    benchmark:
        "benchmarks/measure_reach/{dataset}/{encoder}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=PLANNED.memory(4, "train_heads"),
        runtime=PLANNED.minutes(10),
    params:
        code=code("measure_reach.py"),
        settings=STEPS.settings("measure_reach"),
    shell:
        "python scripts/measure_reach.py --features {input.features:q} --trajectory {input.trajectory:q}"
        " --settings {params.settings:q} {output:q} 2> {log:q}"


rule measure_norms:
    """How long the features of real images are, and how long ascent can make those of valid images."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        features=FEATURES,
    output:
        NORMS,
    log:
        "logs/measure_norms/{dataset}/{encoder}.log",
    benchmark:
        "benchmarks/measure_norms/{dataset}/{encoder}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(6, "train_heads"),
        runtime=PLANNED.minutes(10),
    params:
        code=code("measure_norms.py"),
        settings=STEPS.settings("measure_norms"),
    shell:
        "python scripts/measure_norms.py --images {input.images:q} --encoder {input.encoder:q} --features "
        "{input.features:q}"
        " --settings {params.settings:q} {output:q} 2> {log:q}"


rule plot_reach:
    """Drop of target heads against the smallest budget that can hold them, by the clean head's training."""
    input:
        reach=SHOWN.shown(REACH),
        clean=SHOWN.shown(CLEAN_HEADS),
        targets=SHOWN.reached_targets,
    output:
        report(
            multiext(f"{OUTPUT}/reach", ".pdf", ".png"),
            category="Figures",
            caption="../report/reach.rst",
        ),
    log:
        f"logs/plot_reach/{OUTPUT}/reach.log",
    benchmark:
        f"benchmarks/plot_reach/{OUTPUT}/reach.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_reach.py"),
        budgets=SHOWN.shown_budgets,
    shell:
        "python scripts/plot_reach.py --reach {input.reach:q} --clean {input.clean:q} --targets {input.targets:q}"
        " --budgets {params.budgets:q} -- {output:q} 2> {log:q}"


rule plot_frontier:
    """Drop against the norm cap of poisoned features, beside the norms of real images' features."""
    input:
        results=SHOWN.frontier_files,
        images=SHOWN.frontier_images,
        norms=SHOWN.shown(NORMS),
    output:
        report(
            multiext(f"{OUTPUT}/frontier", ".pdf", ".png"),
            category="Figures",
            caption="../report/frontier.rst",
        ),
    log:
        f"logs/plot_frontier/{OUTPUT}/frontier.log",
    benchmark:
        f"benchmarks/plot_frontier/{OUTPUT}/frontier.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_frontier.py"),
        results=SHOWN.frontier_json,
        names=SHOWN.frontier_names,
    shell:
        "python scripts/plot_frontier.py --results {params.results:q} --images {input.images:q} --names "
        "{params.names:q}"
        " --norms {input.norms:q} -- {output:q} 2> {log:q}"


rule plot_growth:
    """Drop against the budget, for the attacks of a table that were run at several."""
    input:
        numbers=SHOWN.growth_numbers,
    output:
        report(
            multiext(f"{OUTPUT}/growth", ".pdf", ".png"),
            category="Figures",
            caption="../report/growth.rst",
        ),
    log:
        f"logs/plot_growth/{OUTPUT}/growth.log",
    benchmark:
        f"benchmarks/plot_growth/{OUTPUT}/growth.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_growth.py"),
        table=SHOWN.value_of("growth"),
    shell:
        "python scripts/plot_growth.py --numbers {input.numbers:q} {output:q} 2> {log:q}"
