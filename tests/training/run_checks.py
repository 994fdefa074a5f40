"""Runs in processes of their own, and what makes two runs the same one."""

import multiprocessing
import socket

import tiny_training
import torch
from safetensors.torch import load_file

from swin_tutorial.training.run_folder import WEIGHTS, read_metrics

# Forked from a process that has loaded all and computed nothing: PyTorch's threads do not survive
# a fork, and each process of its own would take seconds to start.
forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload(["tiny_training", "torch._dynamo"])


def in_processes(target, *argument_lists):
    """Run a function in a process for each list of arguments; return their exit codes."""
    started = [forkserver.Process(target=target, args=arguments) for arguments in argument_lists]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        process.kill()  # if it still runs, its exit code shows it
    for process in started:
        process.join()
    return [process.exitcode for process in started]


def run_as_two(folder, config, *more):
    """Train as two processes; return their exit codes.

    ``folder`` may be a folder for each.  ``more``: see ``run_as_one_of_many``.
    """
    folders = folder if isinstance(folder, list) else [folder] * 2
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [(folders[rank], rank, 2, port, config, *more) for rank in range(2)]
    return in_processes(tiny_training.run_as_one_of_many, *arguments)


def weights(folder):
    return load_file(folder / WEIGHTS)


def without_times(folder):
    """Return the lines of a run's log, less what a clock said, and what says where it resumed."""
    timings = ("seconds", "images_per_second")
    lines = [line for line in read_metrics(folder) if "resumed_elsewhere" not in line]
    return [{k: v for k, v in line.items() if k not in timings} for line in lines]


def losses(folder):
    return [line["loss"] for line in read_metrics(folder) if "loss" in line]


def assert_same_run(folder, other):
    """The same weights and the same log, bit for bit."""
    ours, theirs = weights(folder), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert without_times(folder) == without_times(other)
