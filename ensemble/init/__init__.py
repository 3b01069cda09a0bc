"""`ens init`: from what a competition ships to recipes that suit the images and this machine."""

from ensemble.init.write import NewRecipes, NotWritten, write_recipes

__all__ = ["NewRecipes", "NotWritten", "write_recipes"]
