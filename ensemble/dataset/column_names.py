"""What the names of a table's columns say."""

LABELS = (  # usual names of a column of labels
    *("label", "labels", "target", "targets", "class", "classes", "category", "categories", "tags"),
    *("breed", "species", "diagnosis", "dx", "y", "genus", "family", "cultivar", "variety"),
)


FACTS = {  # of a file, a photo, a box or a training, never the class of an image
    *("date", "datetime", "timestamp", "datecaptured", "license", "licence", "rightsholder", "url"),
    *("width", "height", "size", "filesize", "mode", "format", "channels", "depth", "dtype"),
    *("imagewidth", "imageheight", "aspectratio", "bytes", "extension", "suffix", "md5", "hash"),
    *("x", "y1", "x1", "x2", "y2", "xmin", "ymin", "xmax", "ymax", "w", "h", "bbox"),
    *("epoch", "loss", "accuracy", "confidence", "fold", "kfold", "partition"),
}


def letters(name: str) -> str:
    """The letters and digits of a column name, in lower case."""
    return "".join(filter(str.isalnum, name)).casefold()


def same_name(a: str, b: str) -> bool:
    """Whether two column names are the same words: `Image_id` and `image id`."""
    return letters(a) == letters(b) != ""


def is_usual_label(name: str) -> bool:
    """Whether a column is named as labels usually are: `label`, `class_id`, `Category`."""
    words = letters(name)
    return words in LABELS or any(
        words == f"{label}{ending}" for label in LABELS for ending in ("id", "ids", "name", "idx")
    )
