rule train_decoder:
    """A decoder of the frozen encoder, or one that trains its encoder along; resumes from its last epoch."""
    input:
        images=IMAGES,
        encoder=ENCODER,
    output:
        DECODER,
    log:
        "logs/train_decoder/{dataset}/{encoder}/{kind}.log",
    benchmark:
        "benchmarks/train_decoder/{dataset}/{encoder}/{kind}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(8, "train_decoder"),
        runtime=PLANNED.minutes(15, "train_decoder"),
    params:
        code=code("train_decoder.py"),
        settings=STEPS.settings("train_decoder"),
    shell:
        "python scripts/train_decoder.py --images {input.images:q} --encoder {input.encoder:q} --kind "
        "{wildcards.kind:q}"
        " --settings {params.settings:q} {output:q} 2> {log:q}"


rule reconstruct_images:
    """What each kind of decoder makes of the test images, and how far from them that is."""
    input:
        images=IMAGES,
        encoder=ENCODER,
        decoders=expand(DECODER, kind=DECODER_KINDS, allow_missing=True),
    output:
        RECONSTRUCTIONS,
    log:
        "logs/reconstruct_images/{dataset}/{encoder}.log",
    benchmark:
        "benchmarks/reconstruct_images/{dataset}/{encoder}.jsonl"
    conda:
        "../../environment.yml"
    resources:
        gpu=GPU,
        mem_mb=PLANNED.memory(8),
        runtime=PLANNED.minutes(15),
    params:
        code=code("reconstruct_images.py"),
        settings=STEPS.settings("train_decoder"),
        shown=SHOWN.value_of("images"),
    shell:
        "python scripts/reconstruct_images.py --images {input.images:q} --encoder {input.encoder:q} --count "
        "{params.shown:q}"
        " --settings {params.settings:q} --decoders {input.decoders:q} -- {output:q} 2> {log:q}"
