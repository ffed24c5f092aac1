"""Recipes from names, YAML files, URIs and `key=value` overrides; a wrong one is one line that names the key."""

import re
import reprlib
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from synatt import storage
from synatt.recipe import Recipe, RecipeError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 120


def packaged() -> list[str]:
    """Names of the recipes that come with the package."""
    found = resources.files("synatt") / "recipes"
    return sorted(p.name.removesuffix(".yaml") for p in found.iterdir() if p.name.endswith(".yaml"))


def recipe_names(name_or_file: str) -> list[str]:
    """The recipes that a name stands for: itself, or the `parts` that a list file names, in order."""
    values = _read(name_or_file)
    if "parts" not in values:
        return [name_or_file]
    parts = values["parts"]
    if (
        set(values) != {"parts"}
        or not isinstance(parts, list)
        or not all(isinstance(p, str) for p in parts)
        or not parts
    ):
        raise RecipeError(f"{name_or_file}: a list of recipes has the one key 'parts', with recipe names or files")
    return parts


def load_recipe(name_or_file: str, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """The recipe called `name_or_file` (packaged name, YAML file or URI) with ``key.sub=value`` overrides applied."""
    values = _read(name_or_file)
    if "parts" in values:
        raise RecipeError(
            f"{name_or_file} is a list of recipes for the pipeline: give one of {', '.join(recipe_names(name_or_file))}"
        )
    return build_recipe(values, overrides, origin=name_or_file)


def build_recipe(values: dict[str, Any], overrides: list[str] | tuple[str, ...] = (), origin: str = "recipe") -> Recipe:
    """A validated recipe from plain values.

    Raises:
        RecipeError: one line naming the key, what was found and what is allowed.
    """
    for item in overrides:
        _override(values, item)
    try:
        return Recipe.model_validate(values)
    except ValidationError as err:
        raise RecipeError(f"{origin}: {_one_line(err)}") from None


def _read(name_or_file: str) -> dict[str, Any]:
    try:
        if re.fullmatch(r"[\w\-]+", name_or_file) and name_or_file in packaged():
            values = parse_yaml((resources.files("synatt") / "recipes" / f"{name_or_file}.yaml").read_text())
        elif storage.is_file(name_or_file):
            values = parse_yaml(storage.read_text(name_or_file))
        else:
            raise RecipeError(f"no recipe {name_or_file!r}: give a YAML file or one of {', '.join(packaged())}")
    except ValueError as err:
        raise RecipeError(f"{name_or_file} is not valid YAML: {err}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{name_or_file} is not a mapping of settings")
    return values


def _override(values: dict[str, Any], item: str) -> None:
    key, sep, text = item.partition("=")
    if not sep or not key:
        raise RecipeError(f"--set {item!r}: write key=value, for example train.seed=7")
    *path, last = key.split(".")
    node: Any = values
    for step in path:
        node = _descend(node, step, key)
    try:
        value = _number(parse_yaml(text))
    except ValueError:
        raise RecipeError(f"--set {item[:200]!r}: the value is not valid YAML") from None
    node[_index(node, last, key) if isinstance(node, list) else last] = value


def parse_yaml(text: str) -> Any:
    """Plain values from YAML that anybody may have written; no tag in it can run code.

    Raises:
        ValueError: it is not YAML, or a value is not what its tag says; the message is one line.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as err:
        # PyYAML lets the errors of its converters out as they are: '2001-99-99', '!!bool x', a thousand brackets.
        raise ValueError(" ".join(str(err).split())[:200] or type(err).__name__) from None


def _number(value: Any) -> Any:
    # YAML 1.1 reads 1e-5 (no dot) as text; people type it.
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _descend(node: Any, step: str, key: str) -> Any:
    child = node[_index(node, step, key)] if isinstance(node, list) else node.setdefault(step, {})
    if not isinstance(child, dict | list):
        raise RecipeError(f"--set {key}: {step!r} is a value, it has no keys below it")
    return child


def _index(node: list[Any], step: str, key: str) -> int:
    names = [item.get("name") if isinstance(item, dict) else None for item in node]
    if step in names:
        return names.index(step)
    if step.isdecimal() and int(step) < len(node):
        return int(step)
    raise RecipeError(f"--set {key}: no item {step!r}; there are {', '.join(str(n) for n in names)}")


def _one_line(err: ValidationError) -> str:
    first = err.errors()[0]
    if first["type"] == "extra_forbidden":
        where = ".".join(str(p) for p in first["loc"])
        return f"unknown key {where!r}; allowed here: {', '.join(_allowed(first['loc']))}"
    keys = _keys(first["loc"])
    # A key that may be of two types has one error for each of them.
    same = [e for e in err.errors() if _keys(e["loc"]) == keys]
    wanted = " or ".join(dict.fromkeys(e["msg"].removeprefix("Value error, ") for e in same))
    more = f" (and {err.error_count() - len(same)} more)" if err.error_count() > len(same) else ""
    shown = "" if first["type"] in ("missing", "value_error") else f", got {_SHORT.repr(first['input'])}"
    return f"{'.'.join(keys) or 'recipe'}: {wanted}{shown}{more}"


def _keys(loc: tuple[int | str, ...]) -> list[str]:
    # The branches of a union ('constrained-int', "literal['auto']") stand in pydantic's place too.
    return [str(p) for p in loc if isinstance(p, int) or p.isidentifier()]


def _allowed(loc: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Recipe
    for step in loc[:-1]:
        if isinstance(step, int):
            continue
        annotation = model.model_fields[step].annotation
        inner = getattr(annotation, "__args__", (annotation,))[0]
        model = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else model
    return sorted(model.model_fields)
