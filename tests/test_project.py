"""The files that say what gets installed agree, and the modules keep to their order."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "swin_tutorial"

# Each module imports only from those before it.
ORDER = [
    "windows",
    "masks",
    "grid",
    "reference",
    "linear",
    "fused",
    "attention",
    "model",
    "checkpoints",
    "randaugment",
    "augmentation",
    "data",
    "baseline",
    "recipes",
    "processes",
    "runs",
    "evaluation",
    "training",
    "experiments",
    "plotting",
    "explorer",
    "exercises",
    "benchmark",
    "doctor",
    "cli",
]
CONDA_NAMES = {"pytorch": "torch"}

project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
constraint_lines = (PROJECT / "constraints.txt").read_text("utf-8").splitlines()
constraint_lines = [line for line in constraint_lines if not line.startswith("#")]
environment = yaml.safe_load((PROJECT / "environment.yml").read_text("utf-8"))


def bounds(lines):
    """Map canonical package names to their version specifiers."""
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): one.specifier for one in parsed}


# --- what gets installed ---


@pytest.mark.parametrize("line", project["dependencies"] + project["optional-dependencies"]["test"])
def test_dependency_is_pinned_within_its_bounds(line):
    requirement = Requirement(line)
    (pin,) = bounds(constraint_lines)[canonicalize_name(requirement.name)]
    assert pin.version in requirement.specifier


@pytest.mark.parametrize("line", constraint_lines)
def test_constraint_is_an_exact_public_version_and_no_address(line):
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9]+(\.[0-9]+)*(\.post[0-9]+)?", line)


def test_constraints_are_sorted_and_name_each_package_once():
    names = [line.split("==")[0].casefold() for line in constraint_lines]
    assert names == sorted(set(names))


def test_conda_installs_the_same_bounds():
    lines = [line for line in environment["dependencies"] if isinstance(line, str)]
    conda = bounds(lines)
    conda = {CONDA_NAMES.get(name, name): bound for name, bound in conda.items()}
    assert str(conda.pop("python")) == project["requires-python"]
    del conda["pip"]
    assert conda == bounds(project["dependencies"])
    assert environment["channels"] == ["conda-forge"]


def test_every_file_of_the_package_is_installed():
    setuptools = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["tool"][
        "setuptools"
    ]
    for path in PACKAGE.rglob("*"):
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        package = ".".join(path.parent.relative_to(PROJECT).parts)
        assert package in setuptools["packages"], path
        patterns = ["*.py", *setuptools["package-data"].get(package, [])]
        assert any(path.match(pattern) for pattern in patterns), path


# --- who imports whom ---


def imported_by(source, package="swin_tutorial"):
    """Return the names of the package's modules that a module's source imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith(f"{package}.")}


def sources(module):
    """Return the files of a module: one, or all those of a folder."""
    folder = PACKAGE / module
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


MODULES = sorted(
    path.stem
    for path in PACKAGE.iterdir()
    if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
)


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_from_those_above_it(module):
    assert module in ORDER, "give it its place in ORDER, and in the README's table"
    above = set(ORDER[: ORDER.index(module)])
    for path in sources(module):
        imported = imported_by(path.read_text("utf-8")) & set(ORDER) - {module}
        assert imported <= above, path.name


def test_reference_shares_no_code_with_what_it_specifies():
    imported = imported_by((PACKAGE / "reference.py").read_text("utf-8"))
    assert not imported & {"windows", "masks", "grid"}


def test_imports_are_found_however_they_are_written():
    source = "import swin_tutorial.grid\ndef f():\n    from swin_tutorial import masks, data\n"
    source += "from swin_tutorial.windows import cyclic_shift\nimport torch.nn\n"
    assert imported_by(source) == {"grid", "masks", "data", "windows"}


def loaded_after(statement):
    """Return the top-level packages that a fresh Python has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )


@pytest.mark.parametrize("module", ["windows", "masks"])
def test_the_top_of_the_package_is_light(module):
    loaded = loaded_after(f"import swin_tutorial.{module}")
    assert "torch" in loaded
    assert not loaded & {"matplotlib", "ipywidgets", "typer", "IPython"}


def test_the_command_starts_without_torch():
    assert "torch" not in loaded_after("import swin_tutorial.cli")
