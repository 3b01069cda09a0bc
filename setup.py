"""What pyproject.toml cannot say: recipes/ stands at the top level and ships inside the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RECIPES = Path(__file__).parent / "recipes"


class BuildWithRecipes(build_py):
    """Copies the recipes to ensemble/shipped_recipes; an editable installation reads them where they are."""

    def run(self) -> None:
        """Build as usual, then copy."""
        super().run()
        if not self.editable_mode:
            shutil.copytree(
                RECIPES, Path(self.build_lib) / "ensemble" / "shipped_recipes", dirs_exist_ok=True
            )


setup(cmdclass={"build_py": BuildWithRecipes})
