rule download:
    input:
        lambda wc: users_files.incoming(C, wc.source),
    output:
        layout.raw_manifest("{source}"),
    log:
        "logs/download/{source}.log",
    conda:
        "../envs/vlkd.yaml"
    params:
        config=lambda wc: jobs.argument(jobs.download(C, wc.source)),
        code=lambda wc: step_code.code(C, "download", source=wc.source),
        listing=lambda wc: users_files.listing(C, wc.source),
    shell:
        step("download")


rule prepare:
    input:
        lambda wc: [layout.raw_manifest(source) for source in C.datasets[wc.dataset].sources],
    output:
        layout.instances("{dataset}"),
        layout.labels("{dataset}"),
        layout.instances_checksums("{dataset}"),
    log:
        "logs/prepare/{dataset}.log",
    conda:
        "../envs/vlkd.yaml"
    params:
        config=lambda wc: jobs.argument(jobs.prepare(C, wc.dataset)),
        code=lambda wc: step_code.code(C, "prepare", dataset=wc.dataset),
    shell:
        step("prepare")
