"""The blocks of timm, torchvision and transformers, and our own, and the record of their audits.

``python tests/audit/public_blocks.py`` audits them all, writes data/results/audit_public.json and
prints the table of docs/audit.md.
"""

import datetime
import functools
import json
from collections.abc import Callable

import torch

import swin_tutorial
from swin_tutorial.audit import AuditReport, audit, audit_builder
from swin_tutorial.audit.geometries import default_sizes
from swin_tutorial.audit.layouts import tokens_and_size
from swin_tutorial.bench.peers import PEERS, import_peer, versions
from swin_tutorial.bench.timing import one_thread
from swin_tutorial.data.paths import PROJECT_DATA
from swin_tutorial.grid import WindowGrid
from swin_tutorial.model import SwinTransformerBlock

DIM = 16
RECORD = PROJECT_DATA / "results" / "audit_public.json"


# --- each builds a block with one head for a size, a window and a shift: one number per axis ---


def timm_v1(size, window_size, shift_size):
    library = import_peer("timm.models.swin_transformer")
    return library.SwinTransformerBlock(
        DIM, size, num_heads=1, window_size=window_size, shift_size=shift_size
    )


def timm_v2(size, window_size, shift_size):
    library = import_peer("timm.models.swin_transformer_v2")
    return library.SwinTransformerV2Block(
        DIM, size, num_heads=1, window_size=window_size, shift_size=shift_size
    )


def torchvision_v1(size, window_size, shift_size):
    library = import_peer("torchvision.models.swin_transformer")
    return library.SwinTransformerBlock(DIM, 1, list(window_size), list(shift_size))


def torchvision_v2(size, window_size, shift_size):
    library = import_peer("torchvision.models.swin_transformer")
    return library.SwinTransformerBlockV2(DIM, 1, list(window_size), list(shift_size))


def transformers_v1(size, window_size, shift_size):
    """Its windows and shifts are squares."""
    import_peer("transformers")
    library = import_peer("transformers.models.swin.modeling_swin")
    config = library.SwinConfig(window_size=window_size[0], attn_implementation="eager")
    return tokens_and_size(library.SwinLayer(config, DIM, size, 1, shift_size=shift_size[0]))


def transformers_v2(size, window_size, shift_size):
    """Its windows and shifts are squares."""
    import_peer("transformers")
    library = import_peer("transformers.models.swinv2.modeling_swinv2")
    config = library.Swinv2Config(window_size=window_size[0])
    return tokens_and_size(library.Swinv2Layer(config, DIM, size, 1, shift_size=shift_size[0]))


def ours(size, window_size, shift_size, **options):
    return SwinTransformerBlock(DIM, 1, window_size, shift_size, **options)


# --- the audits ---


def each_map(build: Callable, geometries: list[WindowGrid] | None = None) -> AuditReport:
    """Audit a new block for each map."""
    return audit_builder(build, dim=DIM, geometries=geometries)


def all_maps(build: Callable) -> AuditReport:
    """Audit one block, called at one size after the other."""
    block = build((12, 12), (4, 4), (1, 1))
    return audit(block, window_size=4, shift_size=1, dim=DIM)


def geometries(**options) -> list[WindowGrid]:
    """Return images to try, cut as the default ones are."""
    rings = (options.get("periodic", False),) * 2
    return [
        WindowGrid(size, window, shift, **options)
        for window, shift in ((4, 1), (5, 2))
        for size in default_sizes((window, window), rings)
    ]


def _ours(version: int, **options) -> Callable:
    build = functools.partial(ours, version=version, **options)
    return functools.partial(each_map, build, geometries(**options))


NEW, ONE = "a new block for each map", "one block for all maps"
# Whose block, its name, how it is asked -> the audit.
AUDITS: dict[tuple[str, str, str], Callable[[], AuditReport]] = {
    ("timm", "SwinTransformerBlock", NEW): functools.partial(each_map, timm_v1),
    ("timm", "SwinTransformerV2Block", NEW): functools.partial(each_map, timm_v2),
    ("torchvision", "SwinTransformerBlock", NEW): functools.partial(each_map, torchvision_v1),
    ("torchvision", "SwinTransformerBlock", ONE): functools.partial(all_maps, torchvision_v1),
    ("torchvision", "SwinTransformerBlockV2", NEW): functools.partial(each_map, torchvision_v2),
    ("torchvision", "SwinTransformerBlockV2", ONE): functools.partial(all_maps, torchvision_v2),
    ("transformers", "SwinLayer", NEW): functools.partial(each_map, transformers_v1),
    ("transformers", "SwinLayer", ONE): functools.partial(all_maps, transformers_v1),
    ("transformers", "Swinv2Layer", NEW): functools.partial(each_map, transformers_v2),
    ("swin_tutorial", "V1", NEW): _ours(1, padding="mask"),
    ("swin_tutorial", "V1, padding attend", NEW): _ours(1, padding="attend"),
    ("swin_tutorial", "V1, rings", NEW): _ours(1, periodic=True),
    ("swin_tutorial", "V2", NEW): _ours(2, padding="mask"),
    ("swin_tutorial", "V2, padding attend", NEW): _ours(2, padding="attend"),
    ("swin_tutorial", "V1", ONE): functools.partial(all_maps, ours),
}


def verdict(asked: tuple[str, str, str]) -> dict:
    """Audit a block, with weights that are always the same, and return the report as values."""
    torch.manual_seed(0)
    with one_thread():
        return AUDITS[asked]().as_dict()


def write_record() -> None:
    blocks = [
        {"library": library, "block": block, "asked": asked, **verdict((library, block, asked))}
        for library, block, asked in AUDITS
    ]
    record = {
        "what": "audits of public blocks with one head, on the default maps",
        "dim": DIM,
        "blocks": blocks,
        "versions": {**versions(("torch", *PEERS)), "swin_tutorial": swin_tutorial.__version__},
        "date": datetime.date.today().isoformat(),
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def table() -> str:
    """Return the table of docs/audit.md, from the record."""
    record = json.loads(RECORD.read_text("utf-8"))
    lines = ["| block | asked | maps | right | leaks | losses | raises | named |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|---|"]
    for found in record["blocks"]:
        version = record["versions"][found["library"]]
        maps = found["maps"]
        counts = [
            len(maps),
            sum(not one["faults"] for one in maps),
            *(sum(one[kind] > 0 for one in maps) for kind in ("leaks", "losses")),
            sum(fault.startswith("raised") for one in maps for fault in one["faults"]),
        ]
        name = found["mistake"] or ("–" if found["is_right"] else "none of the known ones")
        cells = [f"{found['library']} {version} `{found['block']}`", found["asked"], *counts, name]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    write_record()
    print(table())
