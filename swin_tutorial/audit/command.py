"""The command ``swin-tutorial audit``: import what MODULE:NAME stands for, and audit it."""

import importlib
import json
import operator
import sys
from collections.abc import Callable
from pathlib import Path

from swin_tutorial.audit.audit import audit, audit_builder
from swin_tutorial.audit.geometries import default_geometries, default_sizes
from swin_tutorial.audit.layouts import LAYOUTS, windows
from swin_tutorial.audit.report import AuditReport
from swin_tutorial.axis import Padding, check_size
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import per_axis


def run(
    target: str,
    *,
    dim: int,
    window_size: tuple[int, ...] = (),
    shift_size: tuple[int, ...] = (),
    axes: int | None = None,
    sizes: tuple[str, ...] = (),
    padding: Padding = "attend",
    periodic: tuple[bool, ...] = (False,),
    keys: int | None = None,
    layout: str = "channels-last",
    build: bool = False,
    json_file: Path | None = None,
    figure_file: Path | None = None,
) -> bool:
    """Audit what ``target`` names, print the report, and return whether it is right.

    The arguments are the options of the command; see ``swin_tutorial.cli.audit``.
    Exits with status 2 for a mistake in the command line, which it names on stderr.
    """
    try:
        check_size("dim", dim)
        if keys is not None:
            check_size("keys", keys)
        if build and not (window_size or shift_size or sizes):
            grids = default_geometries()
        else:
            grids = _grids(window_size, shift_size, axes, sizes, padding, periodic)
        block = find(target)
        if isinstance(block, type) and not build:
            raise ValueError(
                f"{target} is a class: name a block that was made of it, or add --build if it is "
                "called as CLASS(size, window_size, shift_size)"
            )
        for file in filter(None, (json_file, figure_file)):
            _check_writable(file)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    report = (_audit_builder if build else _audit)(block, grids, layout, dim, keys)
    print(report)
    if json_file:
        values = {"target": target, **report.as_dict()}
        json_file.write_text(json.dumps(values, indent=1) + "\n", "utf-8")
    if figure_file:
        from swin_tutorial.figures.style import as_png

        figure_file.write_bytes(as_png(report.figure()))
    return report.is_right


def find(target: str) -> Callable:
    """Import what MODULE:NAME stands for; modules in the current folder count.

    Raises ValueError if there is no such thing, or if it can't be called.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise ValueError(f"name what to audit as MODULE:NAME, such as my_swin:block, got {target}")
    if module_name.endswith(".py"):
        raise ValueError(f"name the module, and not its file: {module_name[:-3]}:{name}")
    if str(Path.cwd()) not in sys.path:  # the installed command has its own folder there
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever somebody else's code raises
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{module_name} can't be imported from {Path.cwd()}: {reason}") from error
    try:
        found = operator.attrgetter(name)(module)
    except AttributeError as error:
        names = [known for known in vars(module) if callable(getattr(module, known))]
        named = ", ".join(known for known in names if not known.startswith("_")) or "nothing"
        raise ValueError(f"{module_name} has no {name}; what it has to call: {named}") from error
    if not callable(found):
        raise ValueError(f"{target} can't be called: it is of type {type(found).__name__}")
    return found


def _grids(
    window_size: tuple[int, ...],
    shift_size: tuple[int, ...],
    axes: int | None,
    sizes: tuple[str, ...],
    padding: Padding,
    periodic: tuple[bool, ...],
) -> list[WindowGrid]:
    """Return the maps to try.  One number counts for all axes.  Raises ValueError."""
    if not window_size or not shift_size:
        raise ValueError("--window-size and --shift-size are needed: the geometry to audit for")
    maps = [_size(text) for text in sizes]
    if axes is None:  # as many as anything that was given has, and an image's two otherwise
        axes = max(map(len, (window_size, shift_size, *maps)))
        axes = axes if axes > 1 or maps else 2
    window, shift, rings = (
        per_axis(name, values[0] if len(values) == 1 else values, axes)
        for name, values in (
            ("--window-size", window_size),
            ("--shift-size", shift_size),
            ("--periodic", periodic),
        )
    )
    WindowGrid(window, window, shift)  # ValueError before anything is made of these numbers
    return [
        WindowGrid(size, window, shift, padding, rings)
        for size in maps or default_sizes(window, rings)
    ]


def _size(text: str) -> tuple[int, ...]:
    """Read a size such as 8x12.  Raises ValueError."""
    try:
        return tuple(map(int, text.split("x")))
    except ValueError:
        raise ValueError(f"write a size as 8x12, got {text}") from None


def _audit(
    block: Callable, grids: list[WindowGrid], layout: str, dim: int, keys: int | None
) -> AuditReport:
    """Audit one block on all maps."""
    grid = grids[0]
    return audit(
        _adapted(block, layout, grid),
        window_size=grid.window_size,
        shift_size=grid.shift_size,
        dim=dim,
        sizes=[grid.size for grid in grids],
        padding=grid.padding[0],
        periodic=grid.periodic,
        keys=keys,
        progress=True,
    )


def _audit_builder(
    build: Callable, grids: list[WindowGrid], layout: str, dim: int, keys: int | None
) -> AuditReport:
    """Audit a new block for each map."""

    def make(size: tuple, window_size: tuple, shift_size: tuple) -> Callable:
        grid = WindowGrid(size, window_size, shift_size, grids[0].padding, grids[0].periodic)
        return _adapted(build(size, window_size, shift_size), layout, grid)

    return audit_builder(make, dim=dim, geometries=grids, keys=keys, progress=True)


def _adapted(block: Callable, layout: str, grid: WindowGrid) -> Callable:
    """Return a block that takes channels-last maps."""
    if layout == "windows":
        return windows(block, grid.window_size, grid.shift_size, grid.padding[0], grid.periodic)
    return LAYOUTS[layout](block) if layout in LAYOUTS else block


def _check_writable(file: Path) -> None:
    """Raise OSError for a file that can't be written; leave it as it is, or absent."""
    is_new = not file.exists()
    file.open("a").close()
    if is_new:
        file.unlink()
