rule evaluate:
    input:
        instances=layout.instances("{dataset}"),
        labels=layout.labels("{dataset}"),
        held_out=lambda wc: [layout.eval_split(wc.dataset, name) for name in C.datasets[wc.dataset].evaluation_sets],
        extra_evals=lambda wc: jobs.extra_eval_files(C, wc.dataset),
        predictions=run_outputs("distill.sha256", *(f"predictions/{name}.parquet" for name in COMMON_SETS)),
    output:
        run_outputs("metrics.json", "evaluate.sha256", *(f"scores/{name}.parquet" for name in COMMON_SETS)),
    log:
        f"logs/evaluate/{EXPERIMENT}/{{dataset}}-{{student}}-{{variant}}-{{shot}}.log",
    conda:
        "../envs/vlkd.yaml"
    params:
        config=lambda wc: jobs.argument(jobs.evaluate(C, Cell(**wc))),
        code=lambda wc: step_code.code(C, "evaluate", dataset=wc.dataset),
    shell:
        step("evaluate")
