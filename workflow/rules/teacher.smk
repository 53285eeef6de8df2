rule pretrain:
    input:
        lambda wc: weights.pretrain_inputs(C, wc.model),
    output:
        layout.model_weights("{model}"),
        layout.model_config("{model}"),
        layout.model_checksums("{model}"),
    log:
        "logs/pretrain/{model}.log",
    retries: 0  # a launched step tries again itself, and knows when not to
    conda:
        "../envs/vlkd.yaml"
    resources:
        **RESOURCES,
    params:
        config=lambda wc: jobs.argument(jobs.pretrain(C, wc.model)),
        code=lambda wc: step_code.code(C, "pretrain", model=wc.model),
        weights=lambda wc: weights.of_package_for(C, wc.model),
        given=lambda wc: users_files.of_model(C, wc.model),
    shell:
        launched_step("pretrain")


rule extract:
    input:
        instances=layout.instances("{dataset}"),
        weights=lambda wc: weights.made(C.teachers[wc.teacher]),
    output:
        layout.features_manifest("{teacher}", "{dataset}"),
    log:
        "logs/extract/{teacher}-{dataset}.log",
    retries: 0  # a launched step tries again itself, and knows when not to
    conda:
        "../envs/vlkd.yaml"
    resources:
        **RESOURCES | {"loader_workers": lambda wc: jobs.readers(C, wc.teacher, wc.dataset)},
    params:
        config=lambda wc: jobs.argument(jobs.extract(C, wc.teacher, wc.dataset)),
        code=lambda wc: step_code.code(C, "extract", teacher=wc.teacher),
        weights=lambda wc: weights.of_package(C.teachers[wc.teacher]),
        given=lambda wc: users_files.of_teacher(C, wc.teacher, wc.dataset),
    shell:
        launched_step("extract")
