rule distill:
    input:
        instances=layout.instances("{dataset}"),
        labels=layout.labels("{dataset}"),
        train=lambda wc: [layout.train_split(wc.dataset, wc.shot, seed) for seed in SEEDS],
        held_out=lambda wc: [layout.eval_split(wc.dataset, name) for name in C.datasets[wc.dataset].evaluation_sets],
        extra_evals=lambda wc: jobs.extra_eval_files(C, wc.dataset),
        features=lambda wc: jobs.features_of(C, wc.variant, wc.dataset),
        targets=lambda wc: jobs.targets_of_a_run(C, Cell(**wc)),
        regions=lambda wc: jobs.regions_of(C, wc.student, wc.dataset),
        weights=lambda wc: weights.made(C.students[wc.student]),
        init=lambda wc: jobs.initial_models(C, Cell(**wc)),
    output:
        run_outputs(
            "config.yaml",
            "model.safetensors",
            "distill.sha256",
            *(f"predictions/{name}.parquet" for name in COMMON_SETS),
        ),
    log:
        f"logs/distill/{EXPERIMENT}/{{dataset}}-{{student}}-{{variant}}-{{shot}}.log",
    retries: 0  # a launched step tries again itself, and knows when not to
    conda:
        "../envs/vlkd.yaml"
    resources:
        **RESOURCES | {"loader_workers": lambda wc: jobs.readers_of_a_run(C, Cell(**wc))},
    params:
        config=lambda wc: jobs.argument(jobs.distill(C, Cell(**wc))),
        code=lambda wc: step_code.code(C, "distill", dataset=wc.dataset, variant=wc.variant, student=wc.student),
        given=lambda wc: users_files.of_cell(C, Cell(**wc)),
    shell:
        launched_step("distill")
