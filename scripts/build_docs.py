"""Gather the documentation's pages in build/docs/pages, for Zensical: `make docs` does both.

Pages keep their positions relative to each other, so that the links between them work here and in the repository. Each
module gets a page of the reference, which mkdocstrings fills in from its docstrings.
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "docs" / "pages"
WRITTEN = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "docs/*", "notebooks/*")


def main() -> None:
    """Make the folder anew from the written pages and the modules of the package."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for pattern in WRITTEN:
        for path in ROOT.glob(pattern):
            page = PAGES / path.relative_to(ROOT)
            page.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, page)
    for path in sorted((ROOT / "translate").rglob("*.py")):
        write_reference(path.relative_to(ROOT))


def write_reference(module: Path) -> None:
    """Write the page of a module, whose file name is relative to the repository; a package's is its folder's index."""
    name = ".".join(module.with_suffix("").parts).removesuffix(".__init__")
    page = PAGES / "reference" / module.relative_to("translate").with_suffix(".md")
    if page.stem == "__init__":
        page = page.with_name("index.md")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"# {name}\n\n::: {name}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
