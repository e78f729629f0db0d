rule plot_reconstructions:
    """Figure 4: test images and their reconstructions by each kind of decoder."""
    input:
        reconstructions=shown_reconstructions,
        code=code("plot_reconstructions.py"),
    output:
        report(
            f"{OUTPUT}/figure4.{{form}}",
            category="Figures",
            caption="../report/figure4.rst",
        ),
    log:
        f"logs/plot_reconstructions/{OUTPUT}/figure4.{{form}}.log",
    benchmark:
        f"benchmarks/plot_reconstructions/{OUTPUT}/figure4.{{form}}.jsonl"
    wildcard_constraints:
        form="pdf|png",
    shell:
        "python scripts/plot_reconstructions.py --reconstructions {input.reconstructions} {output} 2> {log}"


rule plot_poisons:
    """Figure 5: clean images and their poisons, one row per beta."""
    input:
        images=shown_images,
        poisons=shown_poisons,
        code=code("plot_poisons.py"),
    output:
        report(
            f"{OUTPUT}/figure5.{{form}}",
            category="Figures",
            caption="../report/figure5.rst",
        ),
    log:
        f"logs/plot_poisons/{OUTPUT}/figure5.{{form}}.log",
    benchmark:
        f"benchmarks/plot_poisons/{OUTPUT}/figure5.{{form}}.jsonl"
    wildcard_constraints:
        form="pdf|png",
    params:
        shown=CONFIG.figures.images,
    shell:
        "python scripts/plot_poisons.py --images {input.images} --count {params.shown}"
        " --poisons {input.poisons} -- {output} 2> {log}"


rule plot_magnitudes:
    """Figure 6: histogram of the poisons' largest pixel."""
    input:
        images=shown_images,
        poisons=shown_poisons,
        code=code("plot_magnitudes.py"),
    output:
        report(
            f"{OUTPUT}/figure6.{{form}}",
            category="Figures",
            caption="../report/figure6.rst",
        ),
    log:
        f"logs/plot_magnitudes/{OUTPUT}/figure6.{{form}}.log",
    benchmark:
        f"benchmarks/plot_magnitudes/{OUTPUT}/figure6.{{form}}.jsonl"
    wildcard_constraints:
        form="pdf|png",
    shell:
        "python scripts/plot_magnitudes.py --images {input.images} --poisons {input.poisons} -- {output} 2> {log}"


rule plot_perturbations:
    """Figure 9: what feature matching added to the base images."""
    input:
        images=shown_images,
        poisons=shown_poisons,
        code=code("plot_perturbations.py"),
    output:
        report(
            f"{OUTPUT}/figure9.{{form}}",
            category="Figures",
            caption="../report/figure9.rst",
        ),
    log:
        f"logs/plot_perturbations/{OUTPUT}/figure9.{{form}}.log",
    benchmark:
        f"benchmarks/plot_perturbations/{OUTPUT}/figure9.{{form}}.jsonl"
    wildcard_constraints:
        form="pdf|png",
    params:
        shown=CONFIG.figures.images,
    shell:
        "python scripts/plot_perturbations.py --images {input.images} --count {params.shown}"
        " --poisons {input.poisons} -- {output} 2> {log}"


rule plot_unlearnable:
    """Figure 8: clean images, EMN's poisons by scenario, and their perturbations amplified."""
    input:
        images=unlearnable_images,
        noise=shown_noise,
        code=code("plot_unlearnable.py"),
    output:
        report(
            f"{OUTPUT}/figure8.{{form}}",
            category="Figures",
            caption="../report/figure8.rst",
        ),
    log:
        f"logs/plot_unlearnable/{OUTPUT}/figure8.{{form}}.log",
    benchmark:
        f"benchmarks/plot_unlearnable/{OUTPUT}/figure8.{{form}}.jsonl"
    wildcard_constraints:
        form="pdf|png",
    params:
        shown=CONFIG.figures.images,
        amplification=CONFIG.figures.amplification,
        names=CONFIG.figures.unlearnable,
    shell:
        "python scripts/plot_unlearnable.py --images {input.images} --noise {input.noise} --names {params.names}"
        " --count {params.shown} --amplification {params.amplification} -- {output} 2> {log}"
