"""From a YAML recipe to an honest ensemble and a checked submission, for image-classification competitions."""

__version__ = "0.1.0"
