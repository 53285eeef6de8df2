rule compare:
    input:
        [path for path in outputs_of("distill") if path.name == "metrics.json"],
    output:
        report(layout.results(EXPERIMENT) / "summary.csv", caption="../report/summary.rst", category="Results"),
        report(layout.results(EXPERIMENT) / "gains.csv", caption="../report/gains.rst", category="Results"),
        layout.results(EXPERIMENT) / "metrics.json",
    log:
        f"logs/compare/{EXPERIMENT}.log",
    resources:
        launcher="local",
    params:
        config=canonical(jobs.compare(C)),
        code=jobs.code(C, "compare"),
    shell:
        step("compare")


rule report:
    input:
        rules.compare.output,
    output:
        report(layout.results(EXPERIMENT) / "report.html", caption="../report/report.rst", category="Results"),
    log:
        f"logs/report/{EXPERIMENT}.log",
    resources:
        launcher="local",
    params:
        config=canonical(jobs.compare(C)),
        code=jobs.code(C, "report"),
    shell:
        step("report")


# A receipt holds the hashes of what a phase made for this experiment. It is what the next phase's
# stage in dvc.yaml depends on, so that another experiment in the same folders leaves this one clean.
for phase in PHASES:

    rule:
        name:
            f"receipt_{phase}"
        input:
            outputs_of(phase),
        output:
            layout.receipt(EXPERIMENT, phase),
        log:
            f"logs/receipt/{EXPERIMENT}-{phase}.log",
        params:
            # The list is a parameter too: a phase that loses its last output has no input that changed.
            files=[str(path) for path in outputs_of(phase)],
        script:
            "../scripts/receipt.py"

    rule:
        name:
            f"all_{phase}"
        input:
            layout.receipt(EXPERIMENT, phase),
