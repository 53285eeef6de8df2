rule compare:
    input:
        [path for path in outputs_of("distill") if path.name in ("config.yaml", "metrics.json")],
    output:
        report(RESULTS / "summary.csv", caption="../report/summary.rst", category="Results"),
        report(RESULTS / "gains.csv", caption="../report/gains.rst", category="Results"),
        [layout.headline(EXPERIMENT, name) for name in DATASETS],
        layout.results_checksums(EXPERIMENT, "compare"),
    log:
        f"logs/compare/{EXPERIMENT}.log",
    conda:
        "../envs/vlkd.yaml"
    params:
        config=lambda wc: jobs.argument(jobs.compare(C)),  # a prompt of `extra_evals` may hold braces
        code=step_code.code(C, "compare"),
    shell:
        step("compare")


rule report:
    input:
        rules.compare.output,
        rules.compare.input,  # a run trained anew has a new config.yaml, and other curves, even where its metrics agree
        [layout.split_manifest(layout.eval_split(*each)) for each in jobs.held_out(C)],
    output:
        report(RESULTS / "report.html", caption="../report/report.rst", category="Results"),
        report(RESULTS / "plots/learning_curves.svg", caption="../report/learning_curves.rst", category="Figures"),
        report(RESULTS / "plots/gains.svg", caption="../report/gains.rst", category="Figures"),
        RESULTS / "plots/loss_curves.svg",
        RESULTS / "plots/learning_curves.csv",
        RESULTS / "timings.csv",
        layout.results_checksums(EXPERIMENT, "report"),
    log:
        f"logs/report/{EXPERIMENT}.log",
    conda:
        "../envs/vlkd.yaml"
    params:
        config=lambda wc: jobs.argument(jobs.report(C)),
        code=step_code.code(C, "report"),
        templates=step_code.page_templates(),
    shell:
        step("report")


# A phase manifest holds the hashes of what a phase made for this experiment. It is what the next phase's
# stage in dvc.yaml depends on, so that another experiment in the same folders leaves this one clean.
for phase in phases.PHASES:

    rule:
        name:
            f"manifest_{phase}"
        input:
            outputs_of(phase),
        output:
            layout.phase_manifest(EXPERIMENT, phase),
        log:
            f"logs/manifest/{EXPERIMENT}-{phase}.log",
        conda:
            "../envs/vlkd.yaml"
        params:
            # What made each file is a parameter too: a phase that loses its last output has no input that changed.
            config=jobs.argument(phase_manifest.config(EXPERIMENT, phase, MADE[phase])),
        shell:
            manifest_step()

    rule:
        name:
            f"all_{phase}"
        input:
            artifacts_of(phase),
