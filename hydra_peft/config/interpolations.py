"""Interpolations in a config that lead nowhere, each as one sentence for the user."""

from __future__ import annotations

import os
import re
from typing import Any

from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from hydra_peft.errors import UserError

#: a pointer to the split that plays a role
ROLE = re.compile(r"\bdataset\.splits\.(\w+)")


def unresolved(error: Exception, key: str = "") -> str | None:
    """Return what is wrong with an interpolation, None if ``error`` is of something else.

    Args:
        error: raised while a config was resolved.
        key: whose value it stands in, where the error does not know.
    """
    if not isinstance(error, OmegaConfBaseException):
        return None
    reason = " ".join(str(error).splitlines()[0].split()).rstrip(".")
    named = error.full_key or key or "a value"
    variable = re.search(r"Environment variable '(.*?)' not found", reason)
    if variable:
        name = variable[1]
        return (
            f"{named} needs the environment variable {name}, which is not set: export {name}=..., "
            f"or say what holds without it, as in '${{oc.env:{name},0}}'."
        )
    if isinstance(error, UnsupportedInterpolationType):
        return f"{named}: no function '{reason.rpartition(' ')[2]}' is known for ${{...}}."
    if "Recursive interpolation" in reason:
        return f"{named} points to itself: give it a value."
    missing = re.fullmatch(r"Interpolation key '([\w.]+)' not found", reason)
    if isinstance(error, InterpolationKeyError) and missing and missing[1] in os.environ:
        return left_to_us(missing[1])
    if isinstance(error, InterpolationKeyError) and missing:
        by_task = re.fullmatch(r"dataset\.recipe\.by_task\.\w+\.(.+)", missing[1])
        if by_task:  # as the releases of protocol=released have, and ELEVATER's recipe
            return (
                f"{named} is chosen by task in this recipe, which has none for {by_task[1]}: "
                "choose one of its tasks, or another protocol, such as protocol=clean; for a task "
                f"of your own write {missing[1]} into its yaml."
            )
        return (
            f"{named} points to something that is not there: no yaml has a value for {missing[1]}; "
            f"write it into the one that lacks it, or give the key a value of its own."
        )
    role = ROLE.search(reason)
    if role and "is not a container" in reason:
        return (
            f"{role[0]} is of data of your own, whose splits are known when it is looked at: leave "
            "out --resolve."
        )
    if isinstance(error, InterpolationKeyError | InterpolationResolutionError):
        return f"{named} points to something that is not there: {reason}."
    return None


def left_to_us(variable: str) -> str:
    """Return the sentence on an environment variable that a shell has not put in its place."""
    return (
        f"no key is called {variable}, and a shell leaves ${{{variable}}} as it is in single "
        f"quotes: write the value in double quotes, or the variable as '${{oc.env:{variable}}}'."
    )


def check_roles(key: str, written: dict[str, Any], values: dict[str, Any]) -> None:
    """Check that the splits that a group points to by their role are there.

    Args:
        key: the group.
        written: its values with their interpolations.
        values: the same, resolved.

    Raises:
        UserError: the data set has no split of that role.
    """
    for name, value in values.items():
        pointer = ROLE.search(written[name]) if isinstance(written.get(name), str) else None
        if value is None and pointer:
            raise UserError(no_split(f"{key}.{name}", pointer[1]))


def no_split(key: str, role: str) -> str:
    """Return the sentence on a ``key`` that points to a role that no split plays."""
    return (
        f"{key} takes the split that dataset.splits.{role} names, and this data set names none: "
        "choose another protocol, such as protocol=clean, or a data set that has one."
    )
