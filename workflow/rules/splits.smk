rule split_train:
    input:
        layout.instances("{dataset}"),
        layout.labels("{dataset}"),
    output:
        [layout.train_split("{dataset}", "{shot}", seed) for seed in SEEDS],
        [layout.split_manifest(layout.train_split("{dataset}", "{shot}", seed)) for seed in SEEDS],
    log:
        "logs/split/{dataset}-train-{shot}.log",
    conda:
        "../envs/vlkd.yaml"
    params:
        config=lambda wc: jobs.argument(jobs.split_train(C, wc.dataset, wc.shot)),
        code=lambda wc: step_code.code(C, "split", dataset=wc.dataset),
    shell:
        step("split")


rule split_eval:
    input:
        layout.instances("{dataset}"),
        layout.labels("{dataset}"),
    output:
        layout.eval_split("{dataset}", "{evaluation_set}"),
        layout.split_manifest(layout.eval_split("{dataset}", "{evaluation_set}")),
    log:
        "logs/split/{dataset}-eval-{evaluation_set}.log",
    conda:
        "../envs/vlkd.yaml"
    params:
        config=lambda wc: jobs.argument(jobs.split_eval(C, wc.dataset, wc.evaluation_set)),
        code=lambda wc: step_code.code(C, "split", dataset=wc.dataset),
    shell:
        step("split")
