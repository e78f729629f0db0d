from featpoison.graph.paths import TRANSFERS
from featpoison.graph.transfers import Transfers

TRANSFER = Transfers(CONFIG)


localrules:
    collect_transfer,
    render_transfer,


rule evaluate_transfer:
    """Both victims on another encoder than the one that an attack's images were made against, all seeds."""
    input:
        features=TRANSFER.features,
        encoder=TRANSFER.encoder,
        poisons=STEPS.poison_files,
    output:
        TRANSFERS,
    log:
        "logs/evaluate_transfer/{dataset}/{encoder}/{onto}/{attack}/eps{budget}.log",
    benchmark:
        "benchmarks/evaluate_transfer/{dataset}/{encoder}/{onto}/{attack}/eps{budget}.jsonl"
    wildcard_constraints:
        onto=one_of(CONFIG.encoders),
        attack=segments_making("images"),
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(8, "evaluate_transfer"),
        runtime=PLANNED.minutes(10, "evaluate_transfer"),
    params:
        code=code("evaluate_transfer.py"),
        options=STEPS.poison_options,
        settings=STEPS.settings("evaluate_transfer"),
    shell:
        "python scripts/evaluate_transfer.py --features {input.features:q} --encoder {input.encoder:q} --poisons "
        "{input.poisons:q} {params.options:q} --settings {params.settings:q} {output:q} 2> {log:q}"


rule collect_transfer:
    """The numbers of the transfer matrix, one row an attack, a pair of encoders and a victim."""
    input:
        results=TRANSFER.result_files,
    output:
        f"{OUTPUT}/transfer.csv",
    log:
        f"logs/collect_transfer/{OUTPUT}.log",
    benchmark:
        f"benchmarks/collect_transfer/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("collect_transfer.py"),
        results=TRANSFER.results_json,
    shell:
        "python scripts/collect_transfer.py --results {params.results:q} {output:q} 2> {log:q}"


rule render_transfer:
    """The transfer matrix as a table for the paper (tex) and as a heat map (pdf, png)."""
    input:
        numbers=f"{OUTPUT}/transfer.csv",
    output:
        report(
            multiext(f"{OUTPUT}/transfer", ".tex", ".pdf", ".png"),
            category="Figures",
            caption="../report/transfer.rst",
        ),
    log:
        f"logs/render_transfer/{OUTPUT}.log",
    benchmark:
        f"benchmarks/render_transfer/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("render_transfer.py"),
    shell:
        "python scripts/render_transfer.py --numbers {input.numbers:q} {output:q} 2> {log:q}"
