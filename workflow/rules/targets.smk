rule targets:
    input:
        instances=layout.instances("{dataset}"),
        labels=layout.labels("{dataset}"),
        train=[layout.train_split("{dataset}", "{shot}", seed) for seed in SEEDS],
        features=lambda wc: [layout.features_manifest(name, wc.dataset) for name in teacher_names.split(wc.teacher)],
    output:
        [layout.targets("{dataset}", "{teacher}", "{shot}", seed, "{key}") for seed in SEEDS],
        [layout.targets_checksums(layout.targets("{dataset}", "{teacher}", "{shot}", seed, "{key}")) for seed in SEEDS],
    log:
        "logs/targets/{dataset}-{teacher}-{shot}-{key}.log",
    wildcard_constraints:
        teacher="[A-Za-z0-9_+]+",
        key="[0-9a-f]{16}",
    conda:
        "../envs/vlkd.yaml"
    threads: lambda wc: 1 if wc.shot.isdigit() else 8  # a share of the data, or all of it, may be hundreds of thousands
    params:
        config=lambda wc: jobs.argument(TARGETS[wc.dataset, wc.teacher, wc.shot, wc.key]),
        code=step_code.code(C, "targets"),
    shell:
        # How many processes work changes no byte, so it is no parameter.
        step("targets").replace("exec", "exec env VLKD_LOADER_WORKERS={threads}", 1)
