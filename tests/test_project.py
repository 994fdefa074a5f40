"""What gets installed agrees with what is written; modules keep to their ladder and their words."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import swin_tutorial

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "swin_tutorial"

# The ladder: each module imports only from those before it.  The core is the lesson, in reading
# order; what serves the lesson comes after, and the core never imports that.
LESSON = ["axis", "windows", "grid", "masks", "attention", "model"]  # hold no word on compilers
CORE = [
    "_symbolic",
    "axis",
    "windows",
    "grid",
    "masks",
    "reference",
    "backends",
    "position_bias",
    "attention",
    "config",
    "model",
    "presets",
    "modes",
    "model_tensors",
    "weight_layouts",
    "weight_files",
    "weights",
]
ORDER = [
    *CORE,
    "data",
    "training",
    "figures",
    "audit",
    "explorer",
    "exercises",
    "bench",
    "doctor",
    "lab",
    "cli",
]
COMPILER_WORDS = re.compile("compil|onnx|symbol|export|mkl|onednn", re.IGNORECASE)
CONDA_NAMES = {"pytorch": "torch"}

pyproject = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
project, extras = pyproject["project"], pyproject["project"]["optional-dependencies"]
constraint_lines = (PROJECT / "constraints.txt").read_text("utf-8").splitlines()
constraint_lines = [line for line in constraint_lines if not line.startswith("#")]
environment = yaml.safe_load((PROJECT / "environment.yml").read_text("utf-8"))


def bounds(lines):
    """Map canonical package names to their version specifiers; two for one name must agree."""
    found = {}
    for requirement in map(Requirement, lines):
        name = canonicalize_name(requirement.name)
        assert found.setdefault(name, requirement.specifier) == requirement.specifier, name
    return found


def packages_of(*names):
    """Return the requirement lines of the core and of some extras, but not those on ourselves."""
    lines = project["dependencies"] + [line for name in names for line in extras[name]]
    return [line for line in lines if Requirement(line).name != project["name"]]


# --- what gets installed ---


def test_the_core_needs_five_packages():
    assert bounds(project["dependencies"]).keys() == {
        "torch",
        "einops",
        "jaxtyping",
        "safetensors",
        "numpy",
    }


def test_the_tests_install_what_the_notebooks_and_the_training_need():
    ours = [Requirement(line) for line in extras["test"]]
    (ours,) = [requirement for requirement in ours if requirement.name == project["name"]]
    assert ours.extras == {"notebooks", "train"}


@pytest.mark.parametrize("line", sorted(set(packages_of("notebooks", "train", "test"))))
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


def test_every_installed_dependency_is_pinned():
    lines = packages_of("notebooks", "train", "test")
    missing = installed_with(lines) - bounds(constraint_lines).keys()
    assert not missing, f"constraints.txt lacks {sorted(missing)}"


def test_conda_installs_what_make_lab_installs():
    lines = [line for line in environment["dependencies"] if isinstance(line, str)]
    conda = {CONDA_NAMES.get(name, name): bound for name, bound in bounds(lines).items()}
    assert str(conda.pop("python")) == project["requires-python"]
    del conda["pip"]
    assert conda == bounds(packages_of("notebooks", "train"))
    assert environment["channels"] == ["conda-forge"]


def test_mutants_are_made_of_files_that_exist():
    mutmut = pyproject["tool"]["mutmut"]
    names = [Path(name) for name in mutmut["only_mutate"]]
    assert [name.stem for name in names] == ["axis", "windows", "grid", "masks"]
    for name in (*names, *mutmut["pytest_add_cli_args_test_selection"]):
        assert (PROJECT / name).is_file()


def test_make_checks_the_types_of_the_whole_core():
    makefile = (PROJECT / "Makefile").read_text("utf-8").replace("\\\n", "")
    checked = re.search("^CORE := (.*)$", makefile, re.MULTILINE)[1].split()
    core = {module for module in CORE if module not in ("_symbolic", "backends")}
    core |= {f"backends/{path.stem}" for path in (PACKAGE / "backends").glob("*.py")}
    assert set(checked) == core


# --- who imports whom ---


def imported_by(source):
    """Return the names of the package's modules that a module's source imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            # A name put together when the code runs begins with a constant.
            texts = (part.value for part in ast.walk(node.args[0]) if hasattr(part, "value"))
            names |= {text for text in texts if isinstance(text, str)}
    return {name.split(".")[1] for name in names if name.startswith("swin_tutorial.")}


def sources(module):
    """Return the files of a module: one, or all those of a folder."""
    folder = PACKAGE / module
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


MODULES = sorted(
    path.stem
    for path in PACKAGE.iterdir()
    if (path.suffix == ".py" and not path.stem.startswith("__")) or (path / "__init__.py").exists()
)


def test_every_module_has_its_rung():
    assert sorted(ORDER) == MODULES, "give it its place in ORDER, and in docs/package.md"


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_from_those_above_it(module):
    above = set(ORDER[: ORDER.index(module)])
    for path in sources(module):
        imported = imported_by(path.read_text("utf-8")) & set(ORDER) - {module}
        assert imported <= above, path.name


def test_reference_shares_no_code_with_what_it_specifies():
    imported = imported_by((PACKAGE / "reference.py").read_text("utf-8"))
    assert not imported & {"axis", "windows", "grid", "masks"}


def test_imports_are_found_however_they_are_written():
    source = "import swin_tutorial.grid\ndef f():\n    from swin_tutorial import masks, data\n"
    source += "from swin_tutorial.windows import cyclic_shift\nimport torch.nn\n"
    source += "importlib.import_module(f'swin_tutorial.backends.{name}')\n"
    assert imported_by(source) == {"grid", "masks", "data", "windows", "backends"}


def compiler_words(source):
    """Return the lines that talk of compilers, but for those that import from ``_symbolic``."""
    # An import may go over several lines, in brackets.
    source = re.sub(r"from swin_tutorial\._symbolic import (\([^)]*\)|.*)", "", source)
    return [line for line in source.splitlines() if COMPILER_WORDS.search(line)]


@pytest.mark.parametrize("module", LESSON)
def test_the_lesson_does_not_talk_of_compilers(module):
    assert compiler_words((PACKAGE / f"{module}.py").read_text("utf-8")) == []


def test_words_on_compilers_are_found():
    allowed = "from swin_tutorial._symbolic import (\n    is_symbol,\n)\nx = roll(x)\n"
    assert compiler_words(allowed) == []
    for line in ("# ONNX has no roll", "if torch.compiler.is_compiling():", "torch.SymbolicInt"):
        assert compiler_words(allowed + line) == [line]


# --- what an import costs ---


def run(code):
    """Run code in a fresh Python, and return how it ended."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def loaded_after(statement):
    """Return the modules that a fresh Python has loaded after a statement."""
    done = run(f"{statement}\nimport sys\nprint(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["windows", "masks"])
def test_the_top_of_the_package_is_light(module):
    loaded = loaded_after(f"import swin_tutorial.{module}")
    assert "torch" in loaded
    heavy = {"matplotlib", "IPython", "ipywidgets", "anywidget", "tyro", "typer", "triton"}
    assert not loaded & heavy
    ours = {name.split(".")[1] for name in loaded if name.startswith("swin_tutorial.")}
    assert ours <= set(CORE[: CORE.index(module) + 1])


def test_the_command_starts_without_torch():
    assert "torch" not in loaded_after("import swin_tutorial.cli")


def installed_with(lines):
    """Return the names of all packages here that come with some requirements."""
    found, todo = set(), [Requirement(line) for line in lines]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        todo += map(Requirement, distribution(name).requires or [])
    return found


def without(blocked):
    """Return code after which the named top-level modules are as if not installed."""
    return f"""
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {sorted(blocked)}:
            return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Hiding, sys.meta_path)
"""


def test_the_core_works_with_its_five_packages_alone():
    allowed = installed_with(project["dependencies"]) | {project["name"].replace("_", "-")}
    blocked = {
        module
        for module, owners in packages_distributions().items()
        if not {canonicalize_name(owner) for owner in owners} & allowed
    }
    assert {"matplotlib", "tyro", "PIL", "IPython", "tqdm", "pooch", "triton"} <= blocked
    names = [f"swin_tutorial.{module}" for module in CORE]
    names += [f"swin_tutorial.backends.{name}" for name in ("eager", "sdpa", "flex")]
    done = run(
        f"{without(blocked)}\nimport {', '.join(names)}, torch\n"
        "from swin_tutorial.presets import create_model\n"
        "model = create_model('swin_tiny', embed_dim=8, depths=(2,), num_heads=(2,))\n"
        "print(tuple(model(torch.rand(1, 3, 30, 50)).shape))"
    )
    assert done.stdout == "(1, 1000)\n", done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments"), [("tyro", ["doctor"]), ("pooch", ["data", "fetch", "cifar10"])]
)
def test_the_command_without_its_packages_says_what_to_install(missing, arguments):
    code = f"sys.argv[1:] = {arguments}\nfrom swin_tutorial.__main__ import main\nmain()"
    done = run(without({missing}) + code)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert missing in done.stderr
    assert "pip install -e '.[notebooks,train]'" in done.stderr


def test_the_installed_command_is_the_one_that_says_so():
    (name,) = project["scripts"].values()
    module, function = name.split(":")
    assert callable(getattr(importlib.import_module(module), function))
    done = subprocess.run(
        [sys.executable, "-m", "swin_tutorial", "--version"], capture_output=True, text=True
    )
    assert done.stdout == f"swin-tutorial {swin_tutorial.__version__}\n"
