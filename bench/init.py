"""How long `ens init` takes for 100,000 files and a table of 80,000 rows: python bench/init.py"""

import base64
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ensemble.init import write_recipes

N_TRAIN, N_TEST = 80_000, 20_000
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def write_set(root: Path) -> None:
    names = [f"img_{i:06d}" for i in range(N_TRAIN + N_TEST)]
    for split, of_split in (("train", names[:N_TRAIN]), ("test", names[N_TRAIN:])):
        (root / split).mkdir(parents=True)
        for name in of_split:
            (root / split / f"{name}.png").write_bytes(PNG)
    rows = [f"{name},c{i % 50},p{i // 4},{i % 80},s{i % 11}" for i, name in enumerate(names)]
    header = "id,label,patient_id,age,site"
    (root / "train.csv").write_text("\n".join([header, *rows[:N_TRAIN]]) + "\n")
    lines = [f"{name},c0" for name in names[N_TRAIN:]]
    (root / "sample_submission.csv").write_text("\n".join(["id,label", *lines]) + "\n")


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        write_set(Path("set"))
        for attempt in range(3):
            started = time.perf_counter()
            new = write_recipes("set", f"set{attempt}", Path("recipes"))
            seconds = time.perf_counter() - started
            print(f"{new.understanding.n_train:,} labeled images: {seconds:.1f} s")
