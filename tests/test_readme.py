"""README.md and docs/ say what is so: links, commands, code, and recorded numbers."""

import base64
import json
import re
from pathlib import Path

import pytest
import torch

from swin_tutorial.training import experiments
from swin_tutorial.training.intervals import mean_and_interval

PROJECT = Path(__file__).resolve().parents[1]
README = PROJECT / "README.md"
DOCS = sorted((PROJECT / "docs").glob("*.md"))
PAGES = [README, *DOCS, PROJECT / "data" / "README.md"]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))


def text_of(page):
    return page.read_text("utf-8")


def code_blocks(page, language):
    """Return the blocks of code in a page that are marked as of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def test_the_readme_is_short():
    assert len(text_of(README).splitlines()) <= 150


def test_the_readmes_picture_is_figure_0_6():
    cells = json.loads(text_of(PROJECT / "notebooks" / "00_start_here.ipynb"))["cells"]
    (figure,) = (
        o["data"]["image/png"]
        for c in cells
        if c["id"] == "00-regions-code"
        for o in c["outputs"]
        if "image/png" in o.get("data", {})
    )
    picture = (PROJECT / "data" / "figures" / "one_picture.png").read_bytes()
    assert base64.b64decode(figure) == picture, "copy the figure from chapter 00"


@every_page
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(page))
    assert links or page.name not in ("README.md", "package.md")
    for link in links:
        if not link.startswith("https://"):
            assert (page.parent / link.split("#")[0]).exists(), link


def test_the_docs_are_indexed():
    index = text_of(PROJECT / "docs" / "README.md")
    for page in DOCS:
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


def test_the_table_of_chapters_is_the_folder_of_notebooks():
    rows = re.findall(r"^\| \[(.*?)\]\((notebooks/.*?)\) \|", text_of(README), re.MULTILINE)
    stored = sorted((PROJECT / "notebooks").glob("*.ipynb"))
    assert [link for _, link in rows] == [f"notebooks/{path.name}" for path in stored]
    for title, link in rows:
        assert title[:3] == f"{Path(link).name[:2]} "


def test_the_readmes_lines_of_code_run():
    (code,) = code_blocks(README, "python")
    torch.manual_seed(0)
    x = torch.randn(2, 50, 70, 96)
    names = {"x": x}
    exec(code, names)
    assert names["x"].shape == x.shape
    torch.testing.assert_close(names["x"], names["attention"].attend(x, names["grid"]))


@every_page
def test_imports_in_the_examples_exist(page):
    for code in code_blocks(page, "python"):
        compile(code, page.name, "exec")
        exec("\n".join(re.findall(r"^(?:from|import) .*$", code, re.MULTILINE)), {})


@every_page
def test_make_has_the_targets_that_are_named(page):
    targets = re.findall(r"^([a-z-]+):", text_of(PROJECT / "Makefile"), re.MULTILINE)
    named = re.findall(r"(?:^|`)(?:\w+=\S+ )?make ([a-z-]+)", text_of(page), re.MULTILINE)
    assert set(named) <= set(targets)
    assert named or page != README


def test_every_module_is_in_the_guide():
    guide = text_of(PROJECT / "docs" / "package.md")
    for path in (PROJECT / "swin_tutorial").iterdir():
        if path.suffix == ".py" and not path.name.startswith("_"):
            assert f"(../swin_tutorial/{path.name})" in guide
        elif (path / "__init__.py").exists():
            assert f"(../swin_tutorial/{path.name}/)" in guide


def recorded_row(row):
    """Return the line of docs/results.md that tells what was recorded of an experiment."""
    if row["runs"] > 1:
        accuracy = f"{100 * row['accuracy']:.2f} ± {100 * row['interval']:.2f}"
    else:
        accuracy = f"{100 * row['accuracy']:.2f}"
    cells = [f"`{row['experiment']}`", row["what"], row["runs"], accuracy]
    minutes, speed = f"{row['seconds'] / 60:.1f}", f"{row['images_per_second']:,.0f}"
    cells += [f"{row['parameters']:,}", minutes, speed]
    return f"| {' | '.join(map(str, cells))} |"


def test_the_paired_differences_are_the_recorded_ones():
    results = " ".join(text_of(PROJECT / "docs" / "results.md").split())  # lines may break anywhere
    for left_out in ("shift", "mask", "bias"):
        name = f"ablation-no-{left_out}"
        mean, half = mean_and_interval(experiments.paired_differences(name, "ablation"))
        assert f"{mean:.2f} ± {half:.2f}".replace("-", "−") in results


def test_the_results_are_the_recorded_ones():
    results = text_of(PROJECT / "docs" / "results.md")
    rows = [recorded_row(row) for row in experiments.table()]
    assert rows, "nothing is recorded"
    missing = [row for row in rows if row not in results]
    assert not missing, "docs/results.md lacks these lines:\n" + "\n".join(missing)
