"""What a cell of a submission may mean: `data.answer`, and `--answer` of the commands."""

from typing import Literal

Answer = Literal[
    "probabilities",
    "positive_probability",
    "class_name",
    "class_index",
    "class_number",
    "labels",
    "top_k",
    "values",
]
