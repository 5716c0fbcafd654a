"""The command `gram`: parse, build, run. Nothing here imports torch before a command needs it.

Exit codes: 0 done and solved; 1 ran, but not everything is solved; 2 bad input, in one line.
"""

import errno
import os
import sys

from gram_reasoning.cli import (
    app,
    bench,
    check,
    classifier,
    completion,
    data,
    evaluate,
    export,
    fid,
    generate,
    recipes,
    report,
    solve,
    study,
    train,
)
from gram_reasoning.cli.border import out_of_memory, speaks, tell, version
from gram_reasoning.cli.plugin import OPTION as PLUGIN
from gram_reasoning.cli.plugin import take_plugins
from gram_reasoning.errors import Failed, UserError

HELP = """usage: gram COMMAND [options]

Recursive latent reasoning: puzzles with many answers, solved by many sampled trajectories.

commands:
  solve [PUZZLE]      solve boards from a file, from text or from standard input (-)
  generate            answers from nothing, such as full Sudoku boards or digits
  classifier          train a classifier of digits, to measure generated ones by
  fid                 measure generated digits, by a classifier or by Inception
  train RECIPE        train a model; `gram train RECIPE --help` lists every option
  eval CHECKPOINT     judge a model on held-out inputs, by rollouts under the prior
  export CHECKPOINT   write the averaged weights as a folder to share, in files of a size you name
  data RECIPE         write the inputs of a split as text
  check RECIPE        hold a task against its promises: data, rules, symmetry, text
  report DIR...       runs side by side: a table, and a picture of their curves
  bench RECIPE        time the training step, the sampler and a cold start
  recipes             list the recipes
  study NAME          a question of the paper answered again: trains, judges, writes the table
  app                 a page in the browser: edit a puzzle, watch its answers come

options:
  --help, --version, --print-completion bash|zsh
  --plugin FILE       with any command: a Python file that registers a task or a model of your own

examples:
  gram solve "Q....../......./......./......./......./......./......." --all
  gram train nqueens7-pocket --out runs/seven --max-minutes 20
  gram eval runs/seven --samples 20
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    _free_matplotlib()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        tell(error)
        return 2
    except Failed as error:
        tell(error)
        return 1
    except BrokenPipeError:  # the reader of our output is gone, as in `gram data X | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        tell(UserError("not enough memory for this; expected a smaller --chunk, batch or model"))
        return 2
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"gram: standard output cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gram: interrupted", file=sys.stderr)
        return 130


def _open_streams() -> None:
    """Write into nothing where the caller closed a stream, or where another process of a launch speaks."""
    if sys.stdout is None or not speaks():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def _free_matplotlib() -> None:
    """Pictures are files: they want no backend, such as a notebook's, and no folder in an unwritable home."""
    os.environ.pop("MPLBACKEND", None)
    cache = os.environ.get("GRAM_CACHE_DIR")
    if cache and not os.access(os.path.expanduser("~"), os.W_OK | os.X_OK):
        os.environ.setdefault("MPLCONFIGDIR", os.path.join(cache, "matplotlib"))


def _dispatch(arguments: list[str]) -> int:
    commands = {
        "solve": solve.run,
        "generate": generate.run,
        "classifier": classifier.run,
        "fid": fid.run,
        "train": train.run,
        "eval": evaluate.run,
        "export": export.run,
        "data": data.run,
        "check": check.run,
        "report": report.run,
        "bench": bench.run,
        "recipes": recipes.run,
        "study": study.run,
        "app": app.run,
    }
    if arguments and arguments[0].partition("=")[0] == PLUGIN:
        arguments = take_plugins(arguments)
    if not arguments or arguments[0] in ("--help", "-h"):
        print(HELP, end="")
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(version())
        return 0
    if arguments[0] == "--print-completion":
        print(completion.script(*arguments[1:2] or [""]))
        return 0
    if arguments[0] not in commands:
        raise UserError(f"unknown command {arguments[0]!r}, expected one of {', '.join(commands)}")
    return commands[arguments[0]](take_plugins(arguments[1:]))
