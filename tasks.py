"""The tasks by the groups that the help shows, each in a module of that name. Invoke loads this file."""

from matrix.task_program import TaskProgram
from matrix.tasks.builds_of_others import diagnose, import_, minimise
from matrix.tasks.kmatrix_itself import bench, lint, test
from matrix.tasks.main_job import ci, merge, patch, plan, run, setup, watch
from matrix.tasks.many_machines import cluster, worker
from matrix.tasks.this_machine import doctor, images, source, sweep
from matrix.tasks.what_a_run_found import compare, explain, history, report, repro, shell, submit

program = TaskProgram(
    "kmatrix builds a Linux tree in every combination of arch, compiler and Kconfig symbols.",
    {
        "The main job": (setup, run, plan, merge, patch, watch, ci),
        "What a run found": (report, explain, compare, history, repro, shell, submit),
        "Builds of others": (diagnose, import_, minimise),
        "Many machines": (worker, cluster),
        "This machine": (images, source, doctor, sweep),
        "kmatrix itself": (test, bench, lint),
    },
)

namespace = program.namespace
"""What Invoke's own command looks for in a file of this name."""
