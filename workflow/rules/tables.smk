rule collect_table:
    """The numbers of a table, one row a cell, from the heads in result files, tested on the features."""
    input:
        results=TABLES.table_inputs,
        published=TABLES.published,
    output:
        f"{OUTPUT}/{{table}}.csv",
    log:
        f"logs/collect_table/{OUTPUT}/{{table}}.log",
    benchmark:
        f"benchmarks/collect_table/{OUTPUT}/{{table}}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("collect_table.py"),
        results=TABLES.table_json,
    shell:
        "python scripts/collect_table.py --number {wildcards.table:q} --results {params.results:q} --published "
        "{input.published:q} -- {output:q} 2> {log:q}"


rule render_table:
    """A table for the paper (tex) and for the eye (pdf, png), from its numbers."""
    input:
        numbers=f"{OUTPUT}/{{table}}.csv",
        victims=TABLES.table_victims,
        targets=TABLES.table_targets,
    output:
        report(
            multiext(f"{OUTPUT}/{{table}}", ".tex", ".pdf", ".png"),
            category="Tables",
            caption="../report/table.rst",
        ),
    log:
        f"logs/render_table/{OUTPUT}/{{table}}.log",
    benchmark:
        f"benchmarks/render_table/{OUTPUT}/{{table}}.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("render_table.py"),
        missing=TABLES.missing,
    shell:
        "python scripts/render_table.py --numbers {input.numbers:q} --targets {input.targets:q}"
        " --victims {input.victims:q} --missing {params.missing:q} -- {output:q} 2> {log:q}"
