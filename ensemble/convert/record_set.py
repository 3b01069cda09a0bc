"""A folder of TFRecords as images: its parts, its sizes, what is in the records."""

import re
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ensemble.convert.example import Features, only_value, parse_example
from ensemble.convert.image_folder import Images, NewImage, Source, size_on_disk, suffix_of
from ensemble.convert.part_names import posix_name, sample_tables, split_of_path
from ensemble.convert.png import SUFFIX
from ensemble.convert.record_features import Roles, roles_of
from ensemble.convert.record_labels import LabelPairs, checked_text, label_text
from ensemble.convert.tfrecords import NAME, count_records, records
from ensemble.dataset.filenames import without_suffix
from ensemble.dataset.scan import one_line
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError
from ensemble.grouping import grouped

N_FILES, N_RECORDS = 8, 8  # of each split: how many records decide which feature is which
SIZE = re.compile(r"(?<!\d)(\d{1,5})x(\d{1,5})(?!\d)")
COUNT = re.compile(r"-(\d{1,9})\.tfrec(?:ords?)?$", re.IGNORECASE)  # as Kaggle's files are named
SHARD = re.compile(r"(.+)-(\d+)-of-(\d+)(\.gz)?$")
UNKNOWN = ("", "-1")  # as the label of a test image: none

Files = dict[Split, list[Path]]


@dataclass(frozen=True)
class _RecordSet:
    """The files of each split with their numbers of records, and what their features mean."""

    root: Path
    files: Files
    counts: dict[Path, int]
    roles: Roles

    def images(self) -> Images:
        """Every image, in the order of files and records. Raises DataError."""
        pairs = LabelPairs()
        paths = [(split, path) for split, paths in self.files.items() for path in paths]
        stems = Counter((split, _stem(path.name)) for split, path in paths)
        for split, path in paths:
            is_unique = stems[split, _stem(path.name)] == 1
            stem = _stem(path.name if is_unique else posix_name(self.root, path).replace("/", "-"))
            for number, where, record in _examples(path):
                name = f"{stem}-{number:0{len(str(self.counts[path]))}}"
                if self.roles.id is not None:
                    name = without_suffix(checked_text(where, self.roles.id, record))
                label = self._label(split, where, record, pairs)
                suffix, content = _image(where, self.roles, record)
                yield NewImage(split, name, suffix, content, label, where)

    def _label(self, split: Split, where: str, record: Features, pairs: LabelPairs) -> str | None:
        names = self.roles.labels
        if not names or (split == "test" and names[0] not in record):
            return None
        labels = [label_text(where, name, record, self.roles.n_columns) for name in names]
        if split == "test" and labels[0] in UNKNOWN:
            return None
        pairs.check(names, labels, where)
        return labels[0]


def record_source(root: Path, paths: Sequence[Path]) -> Source:
    """What the TFRecord files below a folder hold. Raises DataError."""
    _check_shards(paths)
    chosen, counts, notes = _largest_size(root, paths)
    _check_counts_in_names(chosen, counts)
    files = _by_split(root, chosen)
    samples = {split: _samples(of_split) for split, of_split in files.items()}
    labelled = [record for split in files if split != "test" for record in samples[split]]
    if not labelled:
        raise DataError(f"{root}: the TFRecords for training hold no record\ndownload them again")
    where = one_line(files["train"][0])
    roles = roles_of(root, where, labelled, samples.get("test", []))
    if not roles.labels and not set(root.glob("[!.]*.csv")) - set(sample_tables(root)):
        raise DataError(
            f"{where}: no feature looks like a label: {', '.join(sorted(labelled[0]))[:200]}\n"
            f"name it class or label, or put a CSV of labels into {root}"
        )
    n_images = sum(counts[path] for path in chosen)
    n_bytes = sum(path.stat().st_size for path in chosen)
    return Source(
        kind="TFRecords",
        n_images=n_images,
        n_bytes=size_on_disk(n_images, n_bytes // max(1, n_images)),
        images=_RecordSet(root, files, counts, roles).images,
        files=frozenset(paths),
        notes=(*notes, *roles.notes),
    )


def _check_shards(paths: Sequence[Path]) -> None:
    """Raises DataError where one of several shards is missing."""
    shards: dict[tuple[str, str], set[int]] = {}
    for path in paths:
        if match := SHARD.fullmatch(str(path)):
            shards.setdefault((match[1], match[3]), set()).add(int(match[2]))
    for (stem, n_shards), numbers in shards.items():
        missing = min(set(range(min(int(n_shards), len(numbers) + 1))) - numbers, default=None)
        if missing is not None:
            shard = f"{stem}-{missing:0{len(n_shards)}}-of-{n_shards}"
            raise DataError(
                f"{one_line(Path(shard))}: this shard is missing\ndownload all {int(n_shards):,}"
            )


def _check_counts_in_names(paths: Sequence[Path], counts: dict[Path, int]) -> None:
    """Raises DataError where most names end in their number of records and another does not."""
    stated = {path: int(match[1]) for path in paths if (match := COUNT.search(path.name))}
    unlike = [path for path in stated if stated[path] != counts[path]]
    if unlike and 2 * len(unlike) < len(stated):
        path = unlike[0]
        raise DataError(
            f"{one_line(path)}: {counts[path]:,} records, its name says {stated[path]:,}\n"
            "the file is cut off; download it again"
        )


def _largest_size(
    root: Path, paths: Sequence[Path]
) -> tuple[list[Path], dict[Path, int], tuple[str, ...]]:
    """The files of the largest images where a set has several sizes; all records are counted.

    Raises DataError where the sizes do not hold equally many records.
    """
    counts = {path: count_records(path) for path in paths}
    by_size = grouped((_size(path.relative_to(root)), path) for path in paths)
    if len(by_size) == 1:
        return list(paths), counts, ()
    totals: dict[tuple[int, int], Counter[Split]] = {size: Counter() for size in by_size}
    for size, of_size in by_size.items():
        for split, of_split in _by_split(root, of_size).items():
            totals[size][split] = sum(counts[path] for path in of_split)
    size = max(by_size, key=lambda size: size[0] * size[1])
    unlike = next((s for s in by_size if totals[s] != totals[size]), None)
    if unlike is not None:
        raise DataError(
            f"{root}: TFRecords of {_size_text(size)} and of {_size_text(unlike)} "
            "differ in their numbers of records\nmove one of them away"
        )
    smaller = ", ".join(_size_text(s) for s in sorted(by_size) if s != size)
    note = (
        f"the images are there in {len(by_size)} sizes: {_size_text(size)} is taken, not {smaller}"
    )
    return by_size[size], counts, (note,)


def _size(name: Path) -> tuple[int, int]:
    """The largest size in a name, (0, 0) without any."""
    sizes = [(int(a), int(b)) for a, b in SIZE.findall(name.as_posix())]
    return max(sizes, default=(0, 0))


def _size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}" if any(size) else "no stated size"


def _by_split(root: Path, paths: Sequence[Path]) -> Files:
    """The files of each split by their names; all are for training where no name says a split."""
    splits = {path: split_of_path(root, path) for path in paths}
    if not any(splits.values()):
        return {"train": list(paths)}
    nameless = next((path for path, split in splits.items() if split is None), None)
    if nameless is not None:
        raise DataError(
            f"{one_line(nameless)}: its name does not say train, valid or test, as others do\n"
            "move it into a folder of that name"
        )
    files: Files = {}
    for split in ("train", "valid", "test"):
        of_split = [path for path in paths if splits[path] == split]
        if of_split:
            files[split] = of_split
    if "train" not in files:
        raise DataError(f"{root}: no TFRecords for training\nname a folder or file train")
    return files


def _samples(paths: Sequence[Path]) -> list[Features]:
    """The features of the first records of some files, spread over all."""
    samples: list[Features] = []
    for path in paths[:: -(-len(paths) // N_FILES)]:
        with closing(_examples(path)) as examples:
            samples += [record for _, _, record in islice(examples, N_RECORDS)]
    return samples


def _examples(path: Path) -> Generator[tuple[int, str, Features], None, None]:
    """Number, place for a message, and features of every record of a file. Raises DataError."""
    with closing(records(path)) as contents:
        for number, content in enumerate(contents, start=1):
            where = f"{one_line(path)}: record {number}"
            yield number, where, parse_example(content, where)


def _image(where: str, roles: Roles, record: Features) -> tuple[str, bytes]:
    """Suffix and content of a record's image. Raises DataError."""
    name = roles.image
    if roles.raw is not None:
        return SUFFIX, roles.raw.png(where, name, record)
    content = only_value(record, name)
    suffix = suffix_of(content) if isinstance(content, bytes) else None
    if not isinstance(content, bytes) or suffix is None:
        problem = "does not begin as an image file" if record.get(name) else "is missing or empty"
        raise DataError(
            f"{where}: the feature {name[:60]!r} {problem}\nrepair the data, or download it again"
        )
    return suffix, content


def _stem(name: str) -> str:
    """A name without the suffix of TFRecords; the number of a shard stays."""
    return NAME.sub(lambda match: match[2] or "", name)
