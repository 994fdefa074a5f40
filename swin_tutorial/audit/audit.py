"""``audit``: is a block's shifted-window attention right, and if not, which mistake is it?"""

from collections.abc import Callable, Iterable, Sequence

from swin_tutorial.audit.dependence import Case
from swin_tutorial.audit.diagnosis import diagnose
from swin_tutorial.audit.findings import watch
from swin_tutorial.audit.geometries import default_geometries, default_sizes
from swin_tutorial.audit.report import AuditReport
from swin_tutorial.axis import Padding, check_size
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import Size, map_axes, per_axis


def audit(
    block: Callable,
    *,
    window_size: Size,
    shift_size: Size,
    dim: int,
    sizes: Sequence[Size] | None = None,
    padding: Padding = "attend",
    periodic: bool | Sequence[bool] = False,
    keys: int | None = None,
    progress: bool = False,
) -> AuditReport:
    """Audit one block: compare who depends on whom with the true windows of each map.

    Args:
        block: any callable that maps ``b *size c`` to ``b *size c``, of any framework that takes
            NumPy arrays; for other layouts, wrap it with ``swin_tutorial.audit.layouts``.
        window_size, shift_size: what it should cut maps into; one number for all axes, or one each.
        dim: channels of the map.
        sizes: maps to try, in this order; by default a set that can't hide the usual mistakes, for
            the number of axes that ``window_size`` has (an int has two).
        padding: "attend" if real tokens may see padding, as in all public code that pads; "mask" if
            they may not.
        periodic: whether the ends of an axis should be neighbors; such maps must divide.
        keys: how many tokens of each map to change, drawn at random; by default all.
        progress: show a bar.

    Raises ValueError or TypeError for a geometry that makes no sense, as ``WindowGrid`` does.
    Whatever the block raises is a finding.
    """
    return audit_stage(
        block,
        window_size=window_size,
        shift_sizes=[shift_size],
        dim=dim,
        sizes=sizes,
        padding=padding,
        periodic=periodic,
        keys=keys,
        progress=progress,
    )


def audit_stage(
    stage: Callable,
    *,
    window_size: Size,
    shift_sizes: Sequence[Size],
    dim: int,
    sizes: Sequence[Size] | None = None,
    padding: Padding = "attend",
    periodic: bool | Sequence[bool] = False,
    keys: int | None = None,
    progress: bool = False,
) -> AuditReport:
    """Audit several blocks in a row, whose shifts are ``shift_sizes``; see ``audit``."""
    axes = len(window_size) if isinstance(window_size, tuple | list) else 2
    if sizes is None:
        window = per_axis("window_size", window_size, axes)
        sizes = default_sizes(window, per_axis("periodic", periodic, axes))
    cases = [
        tuple(WindowGrid(map_axes(size), window_size, s, padding, periodic) for s in shift_sizes)
        for size in sizes
    ]
    return _audit(lambda case: stage, cases, dim, keys, progress)


def audit_builder(
    build: Callable,
    *,
    dim: int,
    geometries: Iterable[WindowGrid] | None = None,
    keys: int | None = None,
    progress: bool = False,
) -> AuditReport:
    """Audit a class of blocks: a new one is built for each geometry.

    Args:
        build: called as ``build(size, window_size, shift_size)``, with one number per axis in each;
            returns a block as in ``audit``.
        dim: channels of the map.
        geometries: what to try; by default square windows on maps of unequal sides.
        keys, progress: as for ``audit``.

    Whatever ``build`` raises is a finding.
    """
    grids = default_geometries() if geometries is None else list(geometries)

    def make(case: Case) -> Callable:
        (grid,) = case
        return build(grid.size, grid.window_size, grid.shift_size)

    return _audit(make, [(grid,) for grid in grids], dim, keys, progress, is_rebuilt=True)


def assert_mask_is_right(block: Callable, **geometry: object) -> None:
    """Raise AssertionError, with the whole report, unless ``audit`` finds the block right.

    For your own tests; the arguments are those of ``audit``.
    """
    report = audit(block, **geometry)
    assert report.is_right, f"\n{report}"


def _with_bar(cases: list[Case]) -> Iterable[Case]:
    from tqdm.auto import tqdm  # only where a bar is asked for

    return tqdm(cases, "audit")


def _audit(
    make: Callable[[Case], Callable],
    cases: list[Case],
    dim: int,
    keys: int | None,
    progress: bool,
    is_rebuilt: bool = False,
) -> AuditReport:
    check_size("dim", dim)
    if not cases:
        raise ValueError("there is no size to audit at: pass at least one")
    if keys is not None:
        check_size("keys", keys)
    watched = watch(make, _with_bar(cases) if progress else cases, dim, keys)
    report = AuditReport(watched)
    if report.is_right:
        return report
    return AuditReport(watched, diagnose(watched, is_rebuilt, keys))
