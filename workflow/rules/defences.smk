from featpoison.graph.defence_tables import TRANSFORMING, DefenceTables
from featpoison.graph.paths import DEFENCE_SECONDS, DEFENDED_HEADS, DEFENDED_VICTIMS, TRANSFORMED

DEFENCES = DefenceTables(CONFIG)


localrules:
    collect_defences,
    render_defences,


rule transform_features:
    """Features of all clean images as a defence that transforms images lets the encoder see them."""
    input:
        images=IMAGES,
        encoder=ENCODER,
    output:
        TRANSFORMED,
    log:
        "logs/transform_features/{dataset}/{encoder}/{defence}.log",
    benchmark:
        "benchmarks/transform_features/{dataset}/{encoder}/{defence}.jsonl"
    wildcard_constraints:
        defence=one_of(TRANSFORMING),
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(6, "transform_features"),
        runtime=PLANNED.minutes(10, "transform_features"),
    params:
        code=DEFENCES.code_of("transform_features.py"),
        options=DEFENCES.transform_options,
    shell:
        "python scripts/transform_features.py {params.options:q} --images {input.images:q} --encoder "
        "{input.encoder:q} {output:q} 2> {log:q}"


rule evaluate_defence:
    """Both victims trained on what a defence leaves of a poisoned training set, all poison and victim seeds."""
    input:
        unpack(DEFENCES.inputs),
    output:
        victims=DEFENDED_VICTIMS,
        seconds=DEFENCE_SECONDS,
    log:
        "logs/evaluate_defence/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.log",
    benchmark:
        "benchmarks/evaluate_defence/{dataset}/{encoder}/{attack}/{defence}/eps{budget}.jsonl"
    wildcard_constraints:
        attack=segments_making("features", "images"),
        defence=one_of(defences.NAMES),
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(8, "evaluate_defence"),
        runtime=PLANNED.minutes(10, "evaluate_defence"),
    params:
        code=DEFENCES.code_of("evaluate_defence.py"),
        options=DEFENCES.options,
    shell:
        "python scripts/evaluate_defence.py {params.options:q} --seconds {output.seconds:q} -- {output.victims:q} "
        "2> {log:q}"


rule evaluate_clean_defence:
    """The same on the clean training set: what the defence costs where nobody attacks."""
    input:
        unpack(DEFENCES.inputs),
    output:
        DEFENDED_HEADS,
    log:
        "logs/evaluate_clean_defence/{dataset}/{encoder}/{defence}.log",
    benchmark:
        "benchmarks/evaluate_clean_defence/{dataset}/{encoder}/{defence}.jsonl"
    wildcard_constraints:
        defence=one_of(defences.NAMES),
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(8, "evaluate_clean_defence"),
        runtime=PLANNED.minutes(10, "evaluate_clean_defence"),
    params:
        code=DEFENCES.code_of("evaluate_defence.py"),
        options=DEFENCES.options,
    shell:
        "python scripts/evaluate_defence.py {params.options:q} -- {output:q} 2> {log:q}"


rule collect_defences:
    """The numbers of the table of defences, one row for each attack, budget, defence and victim."""
    input:
        features=DEFENCES.shared(FEATURES),
        clean=DEFENCES.shared(CLEAN_HEADS),
        results=DEFENCES.result_files,
    output:
        f"{OUTPUT}/defences.csv",
    log:
        f"logs/collect_defences/{OUTPUT}.log",
    benchmark:
        f"benchmarks/collect_defences/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("collect_defences.py"),
        rows=DEFENCES.rows_json,
    shell:
        "python scripts/collect_defences.py --features {input.features:q} --clean {input.clean:q} --rows "
        "{params.rows:q} -- {output:q} 2> {log:q}"


rule render_defences:
    """The table of defences for the paper (tex) and for the eye (pdf, png)."""
    input:
        numbers=f"{OUTPUT}/defences.csv",
    output:
        report(
            multiext(f"{OUTPUT}/defences", ".tex", ".pdf", ".png"),
            category="Tables",
            caption="../report/defences.rst",
        ),
    log:
        f"logs/render_defences/{OUTPUT}.log",
    benchmark:
        f"benchmarks/render_defences/{OUTPUT}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("render_defences.py"),
    shell:
        "python scripts/render_defences.py --numbers {input.numbers:q} {output:q} 2> {log:q}"
