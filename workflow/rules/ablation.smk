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
        code=code("collect_ablation.py"),
    output:
        f"{OUTPUT}/ablation.csv",
    log:
        f"logs/collect_ablation/{OUTPUT}.log",
    benchmark:
        f"benchmarks/collect_ablation/{OUTPUT}.jsonl"
    params:
        rows=ABLATION.rows_json,
    shell:
        "python scripts/collect_ablation.py --rows {params.rows:q} {output} 2> {log}"


rule render_ablation:
    """The table of the stage ablation for the paper (tex) and for the eye (pdf, png)."""
    input:
        numbers=f"{OUTPUT}/ablation.csv",
        code=code("render_ablation.py"),
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
    shell:
        "python scripts/render_ablation.py --numbers {input.numbers} {output} 2> {log}"


rule plot_worth:
    """What the drop of a pipeline changes by when one stage is left out or replaced."""
    input:
        numbers=f"{OUTPUT}/ablation.csv",
        code=code("plot_worth.py"),
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
    shell:
        "python scripts/plot_worth.py --numbers {input.numbers} {output} 2> {log}"
