"""A griffe extension: what the stubs of compiled modules lack for the reference.

A stub types a method, its docstring stands in the .pyx. Modules without pointers carry both. So a class or function
that has no docstring here gets the one that `help()` shows; and a method that a stub has only as overloads becomes a
member with them.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import griffe


class RuntimeDocstrings(griffe.Extension):
    """Adds what the compiled modules tell of themselves."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Make a member of a method that is typed by overloads alone."""
        for name, overloads in cls.overloads.items():
            if name in cls.members or not overloads:
                continue
            last = overloads[-1]
            method = griffe.Function(
                name,
                lineno=overloads[0].lineno,
                parameters=last.parameters,
                returns=last.returns,
                parent=cls,
            )
            method.overloads = list(overloads)
            cls.set_member(name, method)
        in_order = sorted(cls.members.items(), key=lambda item: item[1].lineno or 0)
        cls.members.clear()
        cls.members.update(in_order)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Fill in docstrings, once everything is loaded."""
        _fill(pkg)


def _fill(found: griffe.Module | griffe.Class) -> None:
    for member in found.members.values():
        if member.is_alias or member.name.startswith("_"):
            continue
        if member.is_function:
            _say_mode_in_octal(member)
        if not member.is_module and not member.has_docstring:
            _add_docstring(member)
        if member.is_module or member.is_class:
            _fill(member)


def _say_mode_in_octal(function: griffe.Function) -> None:
    """Permissions are read in octal, whatever the parser makes of the literal."""
    if "mode" in function.parameters:
        default = function.parameters["mode"].default
        if isinstance(default, str) and default.isdecimal():
            function.parameters["mode"].default = f"0o{int(default):o}"


def _add_docstring(member: griffe.Object) -> None:
    """The docstring of the object itself; one that it only inherits from `object` or a base says nothing new."""
    module = importlib.import_module(member.module.path)
    here: Any = module
    for name in member.path.removeprefix(member.module.path + ".").split("."):
        owner, here = here, inspect.getattr_static(here, name, None)
        if here is None:
            return
    if not isinstance(owner, type) and owner is not module:
        return
    if isinstance(here, (str, int, float, tuple, dict, list)):
        return
    text = getattr(here, "__doc__", None)
    if isinstance(text, str) and text.strip():
        member.docstring = griffe.Docstring(inspect.cleandoc(text), parent=member)
