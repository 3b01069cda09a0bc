"""What the names of a table's columns say."""

LABELS = (  # usual names of a column of labels
    *("label", "labels", "target", "targets", "class", "classes", "category", "categories", "tags"),
    *("breed", "species", "diagnosis", "dx", "y", "genus"),
)


def letters(name: str) -> str:
    """The letters and digits of a column name, in lower case."""
    return "".join(filter(str.isalnum, name)).casefold()


def same_name(a: str, b: str) -> bool:
    """Whether two column names are the same words: `Image_id` and `image id`."""
    return letters(a) == letters(b) != ""
