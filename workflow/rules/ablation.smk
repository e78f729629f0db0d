from featpoison.graph.ablations import Ablations

ABLATION = Ablations(CONFIG)


localrules:
    collect_ablation,
    render_ablation,
    plot_worth,


rule collect_ablation:
    """The numbers of the stage ablation, one row a result and a victim, with paired differences."""
    input:
        results=ABLATION.row_files,
    output:
        f"{OUTPUT}/ablation.csv",
    log:
        f"logs/collect_ablation/{OUTPUT}.log",
    benchmark:
        f"benchmarks/collect_ablation/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("collect_ablation.py"),
        rows=ABLATION.rows_json,
    shell:
        "python scripts/collect_ablation.py --rows {params.rows:q} {output:q} 2> {log:q}"


rule render_ablation:
    """The table of the stage ablation for the paper (tex) and for the eye (pdf, png)."""
    input:
        numbers=f"{OUTPUT}/ablation.csv",
    output:
        report(
            multiext(f"{OUTPUT}/ablation", ".tex", ".pdf", ".png"),
            category="Tables",
            caption="../report/ablation.rst",
        ),
    log:
        f"logs/render_ablation/{OUTPUT}.log",
    benchmark:
        f"benchmarks/render_ablation/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("render_ablation.py"),
    shell:
        "python scripts/render_ablation.py --numbers {input.numbers:q} {output:q} 2> {log:q}"


rule plot_worth:
    """What the drop of a pipeline changes by when one stage is left out or replaced."""
    input:
        numbers=f"{OUTPUT}/ablation.csv",
    output:
        report(
            multiext(f"{OUTPUT}/worth", ".pdf", ".png"),
            category="Figures",
            caption="../report/worth.rst",
        ),
    log:
        f"logs/plot_worth/{OUTPUT}.log",
    benchmark:
        f"benchmarks/plot_worth/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("plot_worth.py"),
    shell:
        "python scripts/plot_worth.py --numbers {input.numbers:q} {output:q} 2> {log:q}"
