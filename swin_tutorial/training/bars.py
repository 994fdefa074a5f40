"""Two tasks that decide what the mask is for: do a red bar and a blue bar touch? (chapter 08)

In a **picture** the bars touch, or they stand at opposite edges and meet only through the roll.
The second map is the first one rolled by whole windows, so a model that cannot tell the two apart
gets half of the answers right.

A **panorama** closes into a ring: bars at its left and right edge do touch.  Here the mask hurts.
The model learns from bars that touch inside the map and is tested on the same maps, turned.
"""

import dataclasses
import time
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import reduce
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from swin_tutorial.model import PatchMerging, SwinTransformerBlock
from swin_tutorial.training.machine import deterministic, own_random_state
from swin_tutorial.training.processes import machine

SIZE, WINDOW_SIZE, BAR_LENGTH = 16, 4, 4  # in tokens
RED, BLUE = 0, 2  # channels
NOISE = 0.1  # standard deviation
TEST_MAPS = 500  # of each kind


@dataclass(frozen=True)
class BarsConfig:
    """Everything that determines a run on one of the two tasks.

    Args:
        task: "picture", whose left and right edge are far apart, or "panorama", where they meet.
        use_mask: whether the shifted windows have their mask.
        periodic: whether the model closes the horizontal axis into a ring.
        one_last_window: whether a second stage follows, in which one window spans the whole map.
        dim, num_heads, depth: of the model.
        steps, batch_size, lr: of its training.
        seed: of the first weights and of all maps.

    Raises ValueError for a negative seed.
    """

    task: Literal["picture", "panorama"] = "picture"
    use_mask: bool = True
    periodic: bool = False
    one_last_window: bool = False
    dim: int = 32
    num_heads: int = 2
    depth: int = 4
    steps: int = 200
    batch_size: int = 32
    lr: float = 2e-3
    seed: int = 0

    def __post_init__(self):
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


# --- the maps ---


def touching_bars(
    count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n 16 16 3"], Int64[Tensor, "n"]]:
    """Return maps with a red bar and, right of it, a blue one, on either side of a window's edge.

    Also returns the column of that edge, which is the blue bar's: 4, 8, or 12.
    """
    edges = WINDOW_SIZE * torch.randint(1, SIZE // WINDOW_SIZE, (count,), generator=generator)
    return _draw(edges - 1, edges, generator), edges


def turned(
    maps: Float[Tensor, "n 16 16 3"], edges: Int64[Tensor, "n"]
) -> Float[Tensor, "n 16 16 3"]:
    """Roll each map to the left until its blue bar is in column 0 and its red bar in column 15."""
    pairs = zip(maps, edges.tolist(), strict=True)
    return torch.stack([one.roll(-edge, dims=1) for one, edge in pairs])


def separate_bars(count: int, generator: torch.Generator) -> Float[Tensor, "n 16 16 3"]:
    """Return maps whose bars do not touch, not even on a ring; each stands at a window's edge."""
    windows = SIZE // WINDOW_SIZE
    red = torch.randint(windows, (count,), generator=generator)
    blue = red + torch.randint(1, windows, (count,), generator=generator)
    red, blue = WINDOW_SIZE * red - 1, WINDOW_SIZE * blue
    return _draw(red % SIZE, blue % SIZE, generator)


def _draw(
    red_columns: Int64[Tensor, "n"], blue_columns: Int64[Tensor, "n"], generator: torch.Generator
) -> Float[Tensor, "n 16 16 3"]:
    count = len(red_columns)
    maps = NOISE * torch.randn(count, SIZE, SIZE, 3, generator=generator)
    top = torch.randint(SIZE - BAR_LENGTH + 1, (count, 1), generator=generator)
    number, rows = torch.arange(count)[:, None], top + torch.arange(BAR_LENGTH)
    maps[number, rows, red_columns[:, None], RED] += 1
    maps[number, rows, blue_columns[:, None], BLUE] += 1
    return maps


def training_maps(
    task: str, count: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n 16 16 3"], Float[Tensor, "n"]]:
    """Return as many maps with bars that touch (label 1) as with bars that do not (label 0)."""
    half = count // 2
    touching, edges = touching_bars(half, generator)
    others = turned(touching, edges) if task == "picture" else separate_bars(half, generator)
    return torch.cat([touching, others]), torch.cat([torch.ones(half), torch.zeros(half)])


# --- the model and its training ---


class BarsModel(nn.Module):
    """Swin blocks, the mean over the map, and one score: above 0 for "they touch"."""

    def __init__(self, config: BarsConfig):
        super().__init__()
        self.embed = nn.Linear(3, config.dim)
        self.blocks = nn.Sequential(
            *(
                SwinTransformerBlock(
                    config.dim,
                    config.num_heads,
                    WINDOW_SIZE,
                    shift_size=0 if i % 2 == 0 else WINDOW_SIZE // 2,
                    use_mask=config.use_mask,
                    periodic=(False, config.periodic),
                    backend="eager",  # the fastest on a CPU for windows as small as these
                )
                for i in range(config.depth)
            )
        )
        dim = config.dim
        if config.one_last_window:
            dim = 2 * config.dim
            self.blocks.append(PatchMerging(config.dim))
            last = SwinTransformerBlock(dim, 2 * config.num_heads, SIZE // 2, backend="eager")
            self.blocks.append(last)
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 1)
        for module in self.modules():
            if isinstance(module, nn.Linear):  # as in the small recipes: see SwinConfig.init_std
                nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, maps: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n"]:
        """Return a score for each map."""
        x = self.norm(self.blocks(self.embed(maps)))
        return self.head(reduce(x, "n h w c -> n c", "mean"))[:, 0]


def train(config: BarsConfig) -> tuple[BarsModel, dict]:
    """Train a model on a task, on the CPU; return it and a summary of the run.

    The caller's random numbers stay as they were.
    """
    start = time.perf_counter()
    with deterministic(torch.device("cpu")), own_random_state():
        torch.manual_seed(config.seed)
        model = BarsModel(config)
        optimizer = torch.optim.AdamW(model.parameters(), config.lr)
        # A warm-up over the first tenth, then down to 0 in a straight line.
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(10 * (step + 1) / config.steps, 1 - step / config.steps)
        )
        generator = torch.Generator().manual_seed(config.seed)
        losses = []
        for _ in range(config.steps):
            maps, labels = training_maps(config.task, config.batch_size, generator)
            loss = F.binary_cross_entropy_with_logits(model(maps), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        found = evaluate(model.eval(), config)
    seconds = time.perf_counter() - start
    return model, found | {
        "losses": losses,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(seconds, 1),
        "images_per_second": round(config.steps * config.batch_size / seconds, 1),
        **machine(torch.device("cpu")),
    }


@torch.no_grad()
def evaluate(model: BarsModel, config: BarsConfig) -> dict:
    """Return what a model gets right on maps that it has not seen, and how it tells them apart.

    ``touching``, ``turned`` and ``separate`` are shares of each kind of map.  ``test_accuracy``
    is the mean over the two kinds that the task is about.  ``largest_difference`` is the largest
    difference between the score of a map and the score of the same map, turned.
    """
    generator = torch.Generator().manual_seed(10**6 + config.seed)
    touching, edges = touching_bars(TEST_MAPS, generator)
    kinds = {"touching": touching, "turned": turned(touching, edges)}
    kinds["separate"] = separate_bars(TEST_MAPS, generator)
    scores = {kind: model(maps) for kind, maps in kinds.items()}
    is_touching = {"touching": True, "turned": config.task == "panorama", "separate": False}
    right = {kind: _share((score > 0) == is_touching[kind]) for kind, score in scores.items()}
    asked = ("touching", "turned") if config.task == "picture" else ("turned", "separate")
    return {
        "test_accuracy": sum(right[kind] for kind in asked) / 2,
        "test_images": 2 * TEST_MAPS,
        **right,
        "largest_difference": (scores["touching"] - scores["turned"]).abs().max().item(),
    }


def _share(which: Bool[Tensor, "n"]) -> float:
    return which.double().mean().item()


def as_dict(config: BarsConfig) -> dict:
    """Return a configuration as plain values, for a recorded result."""
    return {"architecture": "bars", **dataclasses.asdict(config)}


def from_dict(values: dict) -> BarsConfig:
    """Return the configuration that ``as_dict`` describes; a younger field has its default.

    Raises TypeError for a field that this version does not know.
    """
    return BarsConfig(**{name: value for name, value in values.items() if name != "architecture"})
