"""What the site has besides docs/: the documents of the repository's root, and the files that pages link to."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    **{f"{n}.md": f"{n}.md" for n in ("CONTRIBUTING", "CHANGELOG", "SECURITY")},
}
LINK = re.compile(r"(\]\()([^)#:\s]+)([)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's documents as pages and every other linked file as it is."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=_moved(ROOT / name)))
    for document in [*(ROOT / name for name in PAGES), *sorted((ROOT / "docs").glob("*.md"))]:
        for _, target, _ in LINK.findall(document.read_text(encoding="utf-8")):
            linked = (document.parent / target).resolve()
            place = _place(linked)
            if linked.is_file() and files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, abs_src_path=str(linked)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """A page of docs/ with links out of that folder as they are in the site."""
    return LINK.sub(lambda link: f"{link[1]}{_in_site(link[2], ROOT / 'docs')}{link[3]}", markdown)


def _moved(document: Path) -> str:
    """The text of a document of the root with links as they are in the site."""
    text = document.read_text(encoding="utf-8")
    return LINK.sub(lambda link: f"{link[1]}{_in_site(link[2], ROOT)}{link[3]}", text)


def _in_site(target: str, folder: Path) -> str:
    linked = (folder / target).resolve()
    return _place(linked) if linked.exists() else target


def _place(linked: Path) -> str:
    """Where a file of the repository is in the site."""
    name = linked.relative_to(ROOT).as_posix()
    return PAGES.get(name, posixpath.relpath(name, "docs") if name.startswith("docs/") else name)
