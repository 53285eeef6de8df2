"""The one graph of VLKD Steps: `snakemake -n` says what would run, `snakemake --cores all` runs it."""

import sys

sys.path.insert(0, workflow.basedir)

from snakemake.exceptions import WorkflowError
from snakemake.jobs import Job
from vlkd_steps.core import read_only

read_only.judge_by_folder_and_owner(Job, WorkflowError)


include: "workflow/rules/common.smk"


rule all:
    default_target: True
    input:
        artifacts_of(*phases.PHASES),


include: "workflow/rules/data.smk"
include: "workflow/rules/splits.smk"
include: "workflow/rules/teacher.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/distill.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


if not workflow.is_main_process:
    end_unless_planned()
