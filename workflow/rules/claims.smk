rule judge_claims:
    """The paper's claims, judged by the intervals of our own result files."""
    input:
        results=TABLES.judged_files,
        published=PUBLISHED,
    output:
        report(
            f"{OUTPUT}/claims.md",
            category="Claims",
            caption="../report/claims.rst",
        ),
    log:
        f"logs/judge_claims/{OUTPUT}/claims.log",
    benchmark:
        f"benchmarks/judge_claims/{OUTPUT}/claims.jsonl"
    conda:
        "../../environment.yml"
    params:
        code=code("judge_claims.py"),
        results=TABLES.judged_json,
    shell:
        "python scripts/judge_claims.py --results {params.results:q} --published {input.published:q} {output:q} "
        "2> {log:q}"
