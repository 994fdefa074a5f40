"""The command ``swin-tutorial``.  What a command needs is imported when it runs, PyTorch too."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from swin_tutorial import doctor as checks
from swin_tutorial.lab import OWN_NOTEBOOKS, copy_notebooks, has_screen, lab_command
from swin_tutorial.training.errors import Stopped, TrainingError

Flag = tyro.conf.FlagCreatePairsOff[bool]
JsonFile = Annotated[
    Path | None, tyro.conf.arg(name="json", help="Write the results to this file too.")
]

PROGRAM = "swin-tutorial"
app, experiments_app, data_app, bench_app = (tyro.extras.SubcommandApp() for _ in range(4))


def main(arguments: list[str] | None = None) -> None:
    """Run a command line.  A user's mistake gives one line on stderr and a status above 0."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments[:1] == ["train"]:  # its options need PyTorch to be listed
            _train(arguments[1:])
        else:
            app.cli(
                prog=PROGRAM,
                description="The Swin Transformer, taught through its shifted-window attention "
                "mask.  --version prints the version.",
                args=arguments or ["--help"],
                config=(tyro.conf.PositionalMetavarFromFieldName,),
            )
    except Stopped as stop:
        print(stop, file=sys.stderr)
        sys.exit(128 + stop.signal)
    except BrokenPipeError:  # not an error of the user's: __main__ ends quietly
        raise
    except (TrainingError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except (MemoryError, RuntimeError, TypeError) as error:  # PyTorch raises these two
        from swin_tutorial.training.machine import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        print(
            "error: there is not enough memory: ask for a smaller batch, window, image or model",
            file=sys.stderr,
        )
        sys.exit(1)


# --- this machine ---


@app.command
def doctor() -> None:
    """Check that this machine has what the notebooks need, and say how to fix what is missing."""
    if not _report():
        sys.exit(1)


@app.command
def lab(port: int = 8888, browser: bool = has_screen(), folder: Path = OWN_NOTEBOOKS) -> None:
    """Check this machine, then open the first chapter in JupyterLab.

    Args:
        port: The next free one is taken if it is busy.
        browser: Open a browser too.
        folder: Where your notebooks are.  Those that it lacks are copied there first.
    """
    command = lab_command(port, browser, folder)
    if not _report():
        sys.exit(1)
    copied = copy_notebooks(folder)
    if copied:
        print(f"\n{len(copied)} notebook{'s'[: len(copied) > 1]} copied to {folder}")
    # Nothing flushes this line for us once the process has become JupyterLab.
    print("\nJupyterLab is starting; Ctrl-C stops it.", flush=True)
    os.execv(sys.executable, command)


def _report() -> bool:
    """Print every check as it comes in; True if none failed."""
    ok = True
    for check in checks.run_checks():
        print(check)
        ok = ok and check.ok
    return ok


# --- your code ---


@app.command
def audit(
    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODULE:NAME")],
    dim: int,
    window_size: tuple[int, ...] = (),
    shift_size: tuple[int, ...] = (),
    axes: int | None = None,
    sizes: tuple[str, ...] = (),
    padding: Literal["attend", "mask"] = "attend",
    periodic: tuple[bool, ...] = (False,),
    keys: int | None = None,
    layout: Literal[
        "channels-last",
        "channels-first",
        "tokens",
        "tokens-and-size",
        "tokens-and-lengths",
        "tokens-and-attributes",
        "windows",
    ] = "channels-last",
    build: Flag = False,
    json_file: JsonFile = None,
    figure_file: Annotated[
        Path | None, tyro.conf.arg(name="figure", help="Draw the smallest failing case: a PNG.")
    ] = None,
) -> None:
    """Is the shifted-window mask of your block right?  If not, which mistake is it?

    Status 0: right; 1: wrong; 2: a mistake in the command line.  One number for the window, the
    shift or the ring counts for all axes.

    Args:
        target: What to audit; modules in the current folder count, such as my_swin:block.
        dim: Channels of the map.
        window_size: Tokens of a window, on each axis.
        shift_size: Tokens by which windows are shifted, on each axis.
        axes: Axes of the map, 1 to 3, if the other options don't show it; by default 2.
        sizes: Maps to try, such as 8x12 14x14; by default a set on which mistakes can't hide.
        padding: May real tokens attend to padding?
        periodic: Are the two ends of an axis neighbors?
        keys: How many tokens of each map to change, at random; by default all.
        layout: What the block takes and returns: maps, tokens with or without the map's size, or
            windows with a mask.
        build: The target is called as TARGET(size, window_size, shift_size) and returns a block.
        json_file: Write the results to this file too.
    """
    from swin_tutorial.audit import command

    is_right = command.run(
        target,
        dim=dim,
        window_size=window_size,
        shift_size=shift_size,
        axes=axes,
        sizes=sizes,
        padding=padding,
        periodic=periodic,
        keys=keys,
        layout=layout,
        build=build,
        json_file=json_file,
        figure_file=figure_file,
    )
    if not is_right:
        sys.exit(1)


# --- training ---


@app.command
def train() -> None:
    """Train a model; swin-tutorial train --help names the presets."""


def _train(arguments: list[str]) -> None:
    from swin_tutorial.figures.training import save_run_figures
    from swin_tutorial.training import command, loop

    asked = command.parse(arguments)
    seed = asked.config.seed
    folder = asked.folder or Path("runs") / f"{asked.preset}-seed{seed}"
    summary = loop.train(
        asked.config, folder, asked.resume, asked.device, data_folder=asked.data_folder
    )
    if os.environ.get("RANK", "0") == "0":  # torchrun numbers its processes so
        save_run_figures(folder)
        print(_summary_line(asked.preset, seed, summary, folder))


@app.command
def evaluate(folder: tyro.conf.Positional[Path], data_folder: Path | None = None) -> None:
    """Evaluate the model of a finished run on its test images again, on the CPU.

    Args:
        folder: The folder of the run.
        data_folder: Where to look for the data first.
    """
    from swin_tutorial.training.evaluation import evaluate_run

    found = evaluate_run(folder, data_folder)
    print(f"{found.accuracy:.2%} of {int(found.confusion.sum()):,} test images")


@experiments_app.command(name="run")
def run_experiment(
    name: tyro.conf.Positional[str], seed: int | None = None, again: Flag = False
) -> None:
    """Train, and record the result in data/results; one that was stopped goes on.

    Args:
        name: One that `swin-tutorial experiments list` names, or all.
        seed: By default each one that the experiment is recorded with.
        again: Run those that have a result already, too.
    """
    from swin_tutorial.training import experiments

    for experiment in experiments.EXPERIMENTS if name == "all" else (name,):
        experiments.configuration(experiment, seed or 0)  # ValueError if there is none
        usual = experiments.EXPERIMENTS[experiment].seeds
        for one in usual if seed is None else (seed,):
            if not again and experiments.recorded(experiment, one):
                print(f"{experiment}, seed {one}: has a result")
            elif not experiments.can_run_here(experiment):
                print(f"{experiment}, seed {one}: left out, it needs a GPU")
            else:
                result = experiments.run(experiment, one)
                file = experiments.result_file(experiment, one)
                print(_summary_line(experiment, one, result, file))


@experiments_app.command(name="list")
def list_experiments() -> None:
    """Name the experiments, and what has been recorded of them."""
    from swin_tutorial.training import experiments

    rows = {row["experiment"]: row for row in experiments.table()}
    for name, experiment in experiments.EXPERIMENTS.items():
        row = rows.get(name)
        found = recorded_on = ""
        if row:
            found = f"{row['accuracy']:.2%} (1 run)"  # which has no interval
            if row["runs"] > 1:
                found = f"{row['accuracy']:.2%} ± {row['interval']:.2%} ({row['runs']} runs)"
            recorded_on = "; ".join([*row["devices"], *row["dates"]])
        print(f"{name:24}{found or 'no result yet':27}{experiment.what}")
        if recorded_on:
            print(f"{'':24}on {recorded_on}")
    unreadable = experiments.unreadable()
    for line in unreadable:
        print(f"error: {line}", file=sys.stderr)
    if unreadable:
        sys.exit(1)


def _summary_line(name: str, seed: int, summary: dict, path: Path) -> str:
    return (
        f"{name}, seed {seed}: {summary['test_accuracy']:.2%} of {summary['test_images']:,} test "
        f"images, {summary['parameters']:,} parameters, {summary['seconds']:,.0f} s at "
        f"{summary['images_per_second']:,.0f} images/s on {summary['device']}; files in {path}"
    )


# --- data ---


@data_app.command(name="list")
def list_image_sets() -> None:
    """Say which image sets there are, and where on this machine they are."""
    from swin_tutorial.data.image_sets import IMAGE_SETS, find_images

    for name, image_set in IMAGE_SETS.items():
        count = " + ".join(f"{size:,}" for size in image_set.sizes.values())
        place = find_images(name) or f"not here; to get it: swin-tutorial data fetch {name}"
        print(f"{name:20}  {count:>15} images  {place}")


@data_app.command
def fetch(name: tyro.conf.Positional[str], folder: Path | None = None) -> None:
    """Download an image set, and keep only what has the published checksum.

    Args:
        name: One that `swin-tutorial data list` names.
        folder: Where to put it, by default the project's data folder.
    """
    from swin_tutorial.data.image_sets import fetch_images

    print(f"{name} is whole, in {fetch_images(name, folder)}")


# --- benchmarks ---


@bench_app.command(name="masks")
def bench_masks(json_file: JsonFile = None) -> None:
    """Time the ways of making a shifted-window mask."""
    from swin_tutorial.bench import masks, timing

    timing.check(json_file)
    masks.run(json_file)


@bench_app.command(name="model")
def bench_model(
    json_file: JsonFile = None,
    tasks: tuple[Literal["forward", "training"], ...] = ("forward", "training"),
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16"),
    compiled: bool = True,
    batch: int | None = None,
    repeats: int = 7,
) -> None:
    """Time Swin-T, forward and training step, beside the public ones that are installed.

    Args:
        json_file: Write the results to this file too.
        tasks: What to time.
        precisions: In which precision; bfloat16 is autocast.
        compiled: Time compiled models too, which takes minutes more.
        batch: Images in a batch; by default 8 on a CPU and 128 on a GPU.
        repeats: How many times each contender is timed.
    """
    from swin_tutorial.bench import model, timing

    if not (tasks and precisions):
        raise ValueError(f"there is nothing to time: tasks {tasks}, precisions {precisions}")
    timing.check(json_file, batch=batch, repeats=repeats)
    model.run(
        json_file,
        tasks=tasks,
        precisions=precisions,
        compiled=compiled,
        batch=batch,
        repeats=repeats,
    )


@bench_app.command(name="attention")
def bench_attention(json_file: JsonFile = None) -> None:
    """Time window attention by all backends, stage by stage, with floors, beside public ones."""
    from swin_tutorial.bench import attention, timing

    timing.check(json_file)
    attention.run(json_file)


@bench_app.command(name="capture")
def bench_capture(json_file: JsonFile = None) -> None:
    """Time torch.export of Swin-T for images of every size."""
    from swin_tutorial.bench import capture, timing

    timing.check(json_file)
    capture.run(json_file)


@bench_app.command(name="data")
def bench_data(json_file: JsonFile = None) -> None:
    """Time what brings images to the training loop, from memory and from files."""
    from swin_tutorial.bench import data, timing

    timing.check(json_file)
    data.run(json_file)


app.command(experiments_app, name="experiments", help="Make and list the recorded, seeded runs.")
app.command(data_app, name="data", help="List and fetch the image sets to train on.")
app.command(bench_app, name="bench", help="Time this package beside public implementations.")
