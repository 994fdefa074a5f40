"""The command ``swin-tutorial``."""

import argparse
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from swin_tutorial import doctor as doctors

JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the results to this file too.")
]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The Swin Transformer, taught through its shifted-window attention mask.",
)
bench = typer.Typer(no_args_is_help=True, help="Time this package beside public implementations.")
app.add_typer(bench, name="bench")
experiments = typer.Typer(no_args_is_help=True, help="Recorded, seeded runs: make and list them.")
app.add_typer(experiments, name="experiments")
data = typer.Typer(no_args_is_help=True, help="List and fetch the image sets to train on.")
app.add_typer(data, name="data")


@app.command()
def doctor() -> None:
    """Check that this machine has what the notebooks need, and say how to mend what is missing."""
    if not _report():
        raise typer.Exit(1)


@app.command()
def lab(
    port: Annotated[int, typer.Option(help="The next free one is taken if it is busy.")] = 8888,
    browser: Annotated[
        bool | None,
        typer.Option("--browser/--no-browser", help="Default: where there is a screen."),
    ] = None,
) -> None:
    """Check this machine, then open the first chapter in JupyterLab."""
    if not _report():
        raise typer.Exit(1)
    typer.echo("\nJupyterLab is starting; Ctrl-C stops it.", nl=True)
    sys.stdout.flush()  # nothing flushes it for us once the process has become JupyterLab
    os.execv(sys.executable, lab_command(port, _has_screen() if browser is None else browser))


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
def train(
    words: Annotated[list[str] | None, typer.Argument(metavar="[PRESET] [OPTIONS]")] = None,
) -> None:
    """Train a model; swin-tutorial train quick --help lists all options."""
    from swin_tutorial import plotting, recipes, training

    arguments, config = _training_arguments(words or [], recipes)
    try:
        summary = training.train(
            config,
            arguments.folder,
            arguments.resume,
            arguments.device,
            data_folder=arguments.data_folder,
        )
        if os.environ.get("RANK", "0") == "0":  # torchrun numbers its processes so
            plotting.save_run_figures(arguments.folder)
            typer.echo(_summary_line(arguments.preset, config.seed, summary, arguments.folder))
    except training.Stopped as stop:
        typer.echo(stop, err=True)
        raise typer.Exit(128 + stop.signal) from None
    except (training.TrainingError, ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    data_folder: Annotated[Path | None, typer.Option(help="Where to look for the data first.")] = (
        None
    ),
) -> None:
    """Try the model of a finished run on its test images again, on the CPU."""
    from swin_tutorial import training

    try:
        found = training.evaluate_run(folder, data_folder)
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{found.accuracy:.2%} of {int(found.confusion.sum()):,} test images")


@experiments.command("run")
def run_experiment(
    name: Annotated[str, typer.Argument(help="One that `experiments list` names, or all.")],
    seed: Annotated[int | None, typer.Option(help="Default: each of 0, 1 and 2.")] = None,
    again: Annotated[bool, typer.Option(help="Also those that have a result already.")] = False,
) -> None:
    """Train, and record the result in data/results; one that was stopped goes on."""
    from swin_tutorial import experiments, runs

    try:
        seeds = experiments.SEEDS if seed is None else (seed,)
        for one in experiments.EXPERIMENTS if name == "all" else (name,):
            for seed in seeds:
                if experiments.recorded(one, seed) and not again:
                    typer.echo(f"{one}, seed {seed}: has a result")
                elif not experiments.can_run_here(one):
                    typer.echo(f"{one}, seed {seed}: left out, it needs a GPU")
                else:
                    result = experiments.run(one, seed)
                    typer.echo(_summary_line(one, seed, result, experiments.result_file(one, seed)))
    except runs.Stopped as stop:
        typer.echo(stop, err=True)
        raise typer.Exit(128 + stop.signal) from None
    except (runs.TrainingError, ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


@experiments.command("list")
def list_experiments() -> None:
    """Name the experiments, and what has been recorded of them."""
    from swin_tutorial import experiments

    rows = {row["experiment"]: row for row in experiments.table()}
    for name, experiment in experiments.EXPERIMENTS.items():
        row = rows.get(name)
        found = "no result yet"
        if row:
            found = f"{row['accuracy']:.2%} ± {row['interval']:.2%} ({row['runs']} runs)"
        typer.echo(f"{name:24}{found:28}{experiment.what}")


@bench.command()
def masks(
    json_file: JsonFile = None,
) -> None:
    """Time the ways of making a shifted-window mask."""
    from swin_tutorial import benchmark

    benchmark.masks(json_file)


@bench.command()
def model(
    json_file: JsonFile = None,
    compiled: Annotated[bool, typer.Option(help="Time compiled models too.")] = True,
) -> None:
    """Time Swin-T beside timm's, torchvision's and transformers', where those are installed.

    Inference on a CPU; inference, a training step and its peak of memory where there is a GPU.
    """
    import torch

    from swin_tutorial import benchmark

    run = benchmark.model_on_gpu if torch.cuda.is_available() else benchmark.model
    run(json_file, compiled=compiled)


@bench.command()
def attention(
    json_file: JsonFile = None,
) -> None:
    """Time window attention by all backends, stage by stage, with floors, beside public ones."""
    from swin_tutorial import benchmark

    benchmark.attention(json_file)


@bench.command()
def tiles() -> None:
    """Time the fused kernels with other tiles than those chosen; needs a GPU."""
    from swin_tutorial import benchmark

    benchmark.tiles()


@bench.command()
def capture(
    json_file: JsonFile = None,
) -> None:
    """Time torch.export of Swin-T for images of every size."""
    from swin_tutorial import benchmark

    benchmark.capture(json_file)


@bench.command("data")
def bench_data(
    json_file: JsonFile = None,
) -> None:
    """Time what brings images to the training loop, from memory and from files."""
    from swin_tutorial import benchmark

    benchmark.data(json_file)


@data.command("list")
def list_sets() -> None:
    """Say which image sets there are, and where on this machine they stand."""
    from swin_tutorial.data import IMAGE_SETS, find_images

    for name, image_set in IMAGE_SETS.items():
        count = " + ".join(f"{size:,}" for size in image_set.sizes.values())
        place = find_images(name) or f"not here; to get it: swin-tutorial data fetch {name}"
        typer.echo(f"{name:20}  {count:>15} images  {place}")


@data.command()
def fetch(
    name: Annotated[str, typer.Argument(help="One that `swin-tutorial data list` names.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where to put it; default: the project's data folder.")
    ] = None,
) -> None:
    """Download an image set, and keep only what has the published checksum."""
    from swin_tutorial.data import fetch_images

    try:
        place = fetch_images(name, folder)
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{name} is whole, in {place}")


def _training_arguments(arguments: list[str], recipes) -> tuple:
    """Return what the command line of ``train`` says, and the configuration that it asks for.

    The options are the fields of the configuration: they are listed there, and only there.
    """
    preset = next((one for one in arguments[:1] if not one.startswith("-")), "quick")
    parser = argparse.ArgumentParser(prog="swin-tutorial train", allow_abbrev=False)
    parser.add_argument("preset", nargs="?", choices=recipes.PRESETS, default=preset)
    if preset not in recipes.PRESETS:
        parser.parse_args(arguments)  # says so, and which there are
    parser.add_argument("--folder", type=Path, help="where the run's files go, by default in runs/")
    parser.add_argument("--resume", action="store_true", help="go on where the folder's run is")
    parser.add_argument("--device", help="cpu, cuda, …; by default the GPU if there is one")
    parser.add_argument("--data-folder", type=Path, help="where to look for the data first")
    group = parser.add_argument_group(f"what is trained, and how (in brackets what {preset} has)")
    options = recipes.options(recipes.PRESETS[preset])
    for one in options:
        flag = {"action": argparse.BooleanOptionalAction} if one.kind is bool else {"metavar": "…"}
        default = str(one.default).replace("%", "%%")
        name = "--" + one.name.replace("_", "-")
        group.add_argument(name, dest=one.name, help=f"{one.help} [{default}]", **flag)
    found = parser.parse_args(arguments)
    given = {one.name: getattr(found, one.name) for one in options}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        config = recipes.changed(recipes.PRESETS[preset], given)
    except ValueError as error:
        parser.error(str(error))
    found.folder = found.folder or Path("runs") / f"{preset}-seed{config.seed}"
    return found, config


def _summary_line(preset: str, seed: int, summary: dict, folder: Path) -> str:
    return (
        f"{preset}, seed {seed}: {summary['test_accuracy']:.2%} of {summary['test_images']:,} test "
        f"images, {summary['parameters']:,} parameters, {summary['seconds']:,.0f} s at "
        f"{summary['images_per_second']:,.0f} images/s on {summary['device']}; files in {folder}"
    )


def lab_command(port: int, browser: bool) -> list[str]:
    """Return the command line that opens the first chapter in JupyterLab."""
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--port={port}",
        f"--ServerApp.root_dir={doctors.NOTEBOOKS}",
        f"--LabApp.default_url=/lab/tree/{doctors.FIRST_NOTEBOOK}",
        # Only the address to open is left of the log, and warnings.
        "--log-level=WARN",
    ]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # a container's only user; JupyterLab refuses it otherwise
    return command


def _report() -> bool:
    """Print every check as it comes in; True if none failed."""
    ok = True
    for check in doctors.run_checks():
        typer.echo(check)
        ok = ok and check.ok
    return ok


def _has_screen() -> bool:
    return sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
