"""How many files and bytes an archive may become: beyond that, it is refused as a bomb."""

from ensemble.errors import DataError
from ensemble.events import Progress

MAX_FILES, MAX_BYTES = 5_000_000, 2 * 1024**4
# beyond 256 MB, content may have 100 times the bytes of the archive: images hardly shrink
FREE_BYTES, MAX_RATIO = 1 << 28, 100
MAX_DEPTH = 4  # of archives in archives


class Limits:
    """Counts what is written; an outer archive's limits count for all archives inside it.

    `progress` gets the bytes written and `total`, the bytes expected.
    """

    def __init__(self, progress: Progress | None = None, total: int = 0) -> None:
        self.progress, self.total = progress, total
        self.n_files = self.n_bytes = 0
        self.limit = self.end = MAX_BYTES  # for this outer archive; for all until its end

    def begin(self, n_packed: int) -> None:
        """An outer archive of so many bytes begins."""
        self.limit = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * n_packed))
        self.end = min(MAX_BYTES, self.n_bytes + self.limit)

    def check(self, n_bytes: int, label: str) -> None:
        """Raise DataError where so many bytes more are too many."""
        if self.n_bytes + n_bytes > self.end:
            raise DataError(f"{label}: more than {self.limit:,} bytes when unpacked; refused")

    def count(self, n_bytes: int, label: str) -> None:
        """Count bytes before they are written. Raises DataError where they are too many."""
        self.check(n_bytes, label)
        self.n_bytes += n_bytes
        if self.progress:
            self.progress(self.n_bytes, max(self.total, self.n_bytes))

    def count_file(self, label: str) -> None:
        """Count a file before it is written. Raises DataError where it is one too many."""
        self.n_files += 1
        if self.n_files > MAX_FILES:
            raise DataError(f"{label}: more than {MAX_FILES:,} files")

    def check_depth(self, depth: int, label: str) -> None:
        """Raise DataError for an archive that lies in too many others; 1 is the outermost."""
        if depth > MAX_DEPTH:
            raise DataError(
                f"{label}: archives inside archives, more than {MAX_DEPTH} deep; refused\n"
                "unpack the inner ones yourself and give data.path the folder"
            )
