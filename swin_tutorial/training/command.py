"""The command ``swin-tutorial train``: a preset, with any field of it changed by an option."""

import sys
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from swin_tutorial.config import SwinConfig
from swin_tutorial.training.config import TrainingConfig
from swin_tutorial.training.recipes import DESCRIPTIONS, PRESETS


@dataclass(frozen=True)
class TrainCommand:
    """What a command line of ``swin-tutorial train`` asks for.

    Args:
        preset: name of the preset
        config: its configuration, as the options changed it
        folder: where the run's files go; by default runs/PRESET-seedSEED
        resume: go on where the folder's run stopped, if there is one
        device: cpu, cuda and so on; by default the GPU if there is one
        data_folder: where to look for the data first
    """

    preset: tyro.conf.Suppress[str]
    config: TrainingConfig
    folder: Path | None = None
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    device: str | None = None
    data_folder: Path | None = None


def parse(arguments: list[str]) -> TrainCommand:
    """Return what a command line asks for.

    Exits with status 0 for --help, and with 2 for a mistake, which it names on stderr.
    """
    options = {name: _options(TrainCommand(name, config)) for name, config in PRESETS.items()}
    asked = tyro.cli(
        tyro.extras.subcommand_type_from_defaults(options, DESCRIPTIONS),
        prog="swin-tutorial train",
        description="Train a model.  Each preset lists its options with --help.",
        args=arguments,
    )
    try:
        command = _changed(TrainCommand(asked.preset, PRESETS[asked.preset]), asked)
        _refuse_what_has_no_effect(command)
    except ValueError as error:  # from a configuration's own checks
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    return command


def _options(default: object) -> object:
    """Return the fields of a dataclass, and of those in it, as one that checks nothing.

    From a check that fails while tyro builds a value, tyro makes a message of its own.
    """
    values = {field.name: getattr(default, field.name) for field in fields(default)}
    kinds = {field.name: field.type for field in fields(default)}
    for name, value in values.items():
        if is_dataclass(value):
            values[name] = _options(value)
            prefix = "" if name == "config" else name  # --lr, and not --config.lr
            kinds[name] = Annotated[type(values[name]), tyro.conf.arg(name=prefix)]
    kind = type(default)
    namespace = {"__doc__": kind.__doc__}
    return make_dataclass(kind.__name__, kinds.items(), namespace=namespace)(**values)


def _changed(default: object, options: object) -> object:
    """Return a dataclass with the values of its options, which are checked as it is built."""
    values = {}
    for name, value in vars(options).items():
        values[name] = _changed(getattr(default, name), value) if is_dataclass(value) else value
    return replace(default, **values)


def _refuse_what_has_no_effect(command: TrainCommand) -> None:
    model, preset = command.config.model, PRESETS[command.preset].model
    for name in ("in_chans", "num_classes"):
        if getattr(model, name) != getattr(preset, name):
            raise ValueError(f"{name} follows from --data: leave out {getattr(model, name)}")
    has_sizes = isinstance(model, SwinConfig) and model.window_sizes
    if has_sizes and model.window_size != preset.window_size:
        raise ValueError(
            f"--model.window-size {model.window_size} has no effect beside window_sizes "
            f"{model.window_sizes}, which this preset sets: add --model.window-sizes None"
        )
