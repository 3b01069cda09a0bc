"""From a YAML recipe to an honest ensemble and a checked submission, for image classification.

    import ensemble

    runs = ensemble.train("recipes/digits_resnet.yaml")
    blend = ensemble.blend(*runs)

Names are imported when they are first used, so `import ensemble` itself is light. docs/api.md shows
each one.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ensemble.api import (
        Predictions,
        Recipe,
        Run,
        RunStore,
        blend,
        compare,
        learner,
        load_learner,
        predict,
        report,
        train,
        write_submission,
    )

__version__ = "0.2.0"

__all__ = [
    "Predictions",
    "Recipe",
    "Run",
    "RunStore",
    "__version__",
    "blend",
    "compare",
    "learner",
    "load_learner",
    "predict",
    "train",
    "report",
    "write_submission",
]

if not TYPE_CHECKING:  # else a type checker would accept any name

    def __getattr__(name: str) -> Any:
        """Import an exported name on its first use."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = getattr(import_module("ensemble.api"), name)
        return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
