"""Many jobs: here, one a core, each a process of its own, or on a cluster through submitit."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gram_reasoning.errors import UserError

Command = Callable[[str], list[str]]
"""The command line that does a job."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def here(jobs: Sequence[str], command: Command, at_once: int, logs: Path, say: Callable[[str], None]) -> list[str]:
    """Do jobs, so many at once; what they say goes to a file each in `logs`. Returns a line for each that failed.

    When this process is interrupted, it stops them; they have saved what they had.
    """
    waiting, failed = list(jobs), []
    running: dict[str, subprocess.Popen[bytes]] = {}
    logs.mkdir(parents=True, exist_ok=True)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                with (logs / f"{_file(job)}.log").open("ab") as log:
                    running[job] = subprocess.Popen(
                        command(job), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | ONE_THREAD
                    )
                say(f"{job}: begun")
            time.sleep(0.1)
            for job, process in [(j, p) for j, p in running.items() if p.poll() is not None]:
                del running[job]
                say(f"{job}: {'done' if process.returncode == 0 else 'FAILED'}")
                if process.returncode != 0:
                    failed.append(_why(job, logs / f"{_file(job)}.log", f"ended with {process.returncode}"))
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    return failed


def on_cluster(
    jobs: Sequence[str], command: Command, cluster: str, parameters: dict[str, Any], logs: Path, minutes: float
) -> list[str]:
    """Hand all jobs to a cluster that submitit knows, wait for them; a line for each that failed.

    Args:
        cluster: "slurm", or "local" for processes of this machine.
        parameters: of submitit's executor, such as slurm_partition.
        minutes: after which a job is ended; it goes on when the study is started again.
    """
    try:
        import submitit
        from submitit.core.utils import FailedJobError, UncompletedJobError
    except ImportError as error:
        raise UserError(f"--cluster: {error}; install it with: pip install 'gram-reasoning[cluster]'") from error

    executor = submitit.AutoExecutor(folder=logs / "submitit", cluster=cluster)
    known = {"timeout_min": max(1, round(minutes)), "cpus_per_task": 1}
    try:
        executor.update_parameters(**{**known, **parameters})
    except (NameError, TypeError, ValueError) as error:
        raise UserError(f"--cluster-parameters: {error}, expected those of submitit's {cluster} executor") from error
    one_thread = ["env", *(f"{name}={value}" for name, value in ONE_THREAD.items())]
    handed = {}
    with executor.batch():
        for job in jobs:
            handed[job] = executor.submit(submitit.helpers.CommandFunction([*one_thread, *command(job)], verbose=False))
    failed = []
    for job, one in handed.items():
        try:
            one.result()
        except (FailedJobError, UncompletedJobError):
            failed.append(_why(job, Path(one.paths.stderr), "failed on the cluster"))
    return failed


def again(name: str, job: str, runs: Path) -> list[str]:
    """The command line of this program that does one job of a study."""
    return [sys.executable, "-m", "gram_reasoning", "study", name, "--job", job, "--runs", str(runs)]


def _file(job: str) -> str:
    return job.replace(":", "-")


def _why(job: str, log: Path, what: str) -> str:
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return f"{job}: {what} ({log}): {said[-1] if said else 'it said nothing'}"
