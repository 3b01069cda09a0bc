"""Which folders are the training, validation and test images, by their names and what is in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble.dataset.image_sizes import sizes_of
from ensemble.dataset.split_names import Split, splits_of_names, usual_split
from ensemble.grouping import grouped
from ensemble.layout.inner_folders import no_masks
from ensemble.layout.questions import Inquiry, Options
from ensemble.layout.survey import Folder, Survey

N_MEASURED = 30  # images of a folder whose size decides between twins


@dataclass(frozen=True)
class Roles:
    """The folders of each split, those of usual names first; notes say what was passed over."""

    folders: dict[Split, tuple[Folder, ...]]

    def __getitem__(self, split: Split) -> tuple[Folder, ...]:
        return self.folders[split]

    def split_of(self, folder: Folder) -> Split | None:
        """The split that a folder belongs to, by itself or by a folder around it."""
        for split, folders in self.folders.items():
            for outer in folders:
                if folder.name == outer.name or folder.name.startswith(f"{outer.name}/"):
                    return split
        return None

    def split_of_image(self, path: str) -> Split | None:
        """The split of an image by the folders around it."""
        return self.split_of(Folder(path, ()))


def roles(surveyed: Survey, options: Options) -> Roles:
    """The folders whose names mean splits; of doubled and lone folders, the inner one.

    A folder that the user names is the only one of its split. Raises EnsembleError.
    """
    by_name = _by_name(surveyed)
    chosen: dict[Split, str | None] = {"train": options.train, "test": options.test}
    for split, name in chosen.items():
        if name is not None and name in surveyed.folders:
            by_name[split] = (surveyed.folders[name],)
    return Roles(by_name)


def _by_name(surveyed: Survey) -> dict[Split, tuple[Folder, ...]]:
    folders: dict[Split, list[Folder]] = {"train": [], "valid": [], "test": []}
    waiting = [surveyed.folders["."]]
    while waiting:
        parent = waiting.pop(0)
        children = surveyed.children(parent)
        splits = splits_of_names([child.last_name for child in children])
        for child in children:
            split = splits.get(child.last_name)
            if split is None:
                waiting.append(child)
            else:
                folders[split].append(inner(surveyed, child))
    return {split: tuple(_usual_first(named)) for split, named in folders.items()}


def _usual_first(folders: Sequence[Folder]) -> list[Folder]:
    def order(folder: Folder) -> tuple[int, bool, str]:
        parts = folder.name.split("/")
        return len(parts), not any(map(usual_split, parts)), folder.name

    return sorted(folders, key=order)


def inner(surveyed: Survey, folder: Folder) -> Folder:
    """The folder inside folders that hold one folder alone: of the same name, or of class folders."""
    while True:
        children = surveyed.children(folder)
        if len(children) != 1 or folder.has_loose_images:
            return folder
        (child,) = children
        is_doubled = child.last_name.lower() == folder.last_name.lower()
        if not is_doubled and not child.subfolders:
            return folder
        folder = child


def one_of(surveyed: Survey, folders: Sequence[Folder], option: str, inquiry: Inquiry) -> Folder:
    """One of the folders that could be a split: not a smaller copy of another, else the user's."""
    by_name = surveyed.folders | {folder.name: folder for folder in folders}
    distinct = without_copies(surveyed, folders)
    meanings = {folder.name: f"{len(folder.images):,} images" for folder in distinct}
    text = f"several folders could hold the {option} images"
    return by_name[inquiry.choose(option, text, meanings, allowed=list(by_name))]


def without_copies(surveyed: Survey, folders: Sequence[Folder]) -> list[Folder]:
    """The folders without those of masks, and without those that hold the same files: a usual name
    wins, then larger images.
    """
    folders = no_masks(folders) or folders
    by_files = grouped(
        (frozenset(image.rpartition(".")[0] for image in folder.images), folder)
        for folder in folders
    )
    return [folder for copies in by_files.values() for folder in _best_copies(surveyed, copies)]


def _best_copies(surveyed: Survey, copies: Sequence[Folder]) -> list[Folder]:
    """Of folders with the same files the usual one, else the one of the largest images.

    Copies of one size, such as a grey and a colored one, stay where their bytes differ.
    """
    usual = [folder for folder in copies if usual_split(folder.last_name)]
    if len(copies) == 1 or len(usual) == 1:
        return (usual or list(copies))[:1]
    sides = [_side(surveyed, folder) for folder in copies]
    largest = [folder for folder, side in zip(copies, sides, strict=True) if side == max(sides)]
    contents = {
        tuple(path.read_bytes() for path in _some_files(surveyed, folder)) for folder in largest
    }
    return largest if len(contents) > 1 else largest[:1]


def _side(surveyed: Survey, folder: Folder) -> int:
    """The median short side of some of a folder's images in pixels."""
    return sizes_of(_some_files(surveyed, folder))[0].side


def _some_files(surveyed: Survey, folder: Folder) -> list[Path]:
    images = folder.images[:: max(1, len(folder.images) // N_MEASURED)]
    return [surveyed.root / folder.path_of(image) for image in images]
