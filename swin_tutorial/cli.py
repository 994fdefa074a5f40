"""The command ``swin-tutorial``."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from swin_tutorial import doctor as doctors

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The Swin Transformer, taught through its shifted-window attention mask.",
)
bench = typer.Typer(no_args_is_help=True, help="Time this package beside public implementations.")
app.add_typer(bench, name="bench")
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


@bench.command()
def masks(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this file too.")
    ] = None,
) -> None:
    """Time the ways of making a shifted-window mask."""
    from swin_tutorial import benchmark

    benchmark.masks(json_file)


@bench.command()
def model(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this file too.")
    ] = None,
    compiled: Annotated[bool, typer.Option(help="Time compiled models too.")] = True,
) -> None:
    """Time Swin-T beside timm's, torchvision's and transformers', where those are installed."""
    from swin_tutorial import benchmark

    benchmark.model(json_file, compiled=compiled)


@bench.command("data")
def bench_data(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this file too.")
    ] = None,
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
