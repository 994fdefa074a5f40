"""Start the command ``swin-tutorial``, or say in one line what to install for it."""

import sys

# What the command imports, beyond the five packages that the core needs.
PACKAGES = ("tyro", "matplotlib", "PIL", "pooch", "requests", "tqdm")


def main() -> None:
    """Run the command line.  A package that is missing gives one line on stderr and status 1."""
    try:
        from swin_tutorial import cli

        cli.main()
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        sys.exit(
            f"error: swin-tutorial needs {error.name}, which is not installed: in the project "
            "folder, run pip install -e '.[notebooks,train]'"
        )


if __name__ == "__main__":
    main()
