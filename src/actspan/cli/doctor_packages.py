"""Packages of each extra of ActSpan, and which of them are installed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import (
    PackageNotFoundError,
    metadata,
    packages_distributions,
    requires,
    version,
)
from importlib.util import find_spec

from packaging.requirements import Requirement

from actspan.core.installation import install_command

_NOT_LISTED = ("all", "dev", "docs")  # made of others, or for the development of ActSpan


@dataclass(frozen=True, slots=True)
class Extra:
    """An extra, or the core, with the versions of its packages; "" if one is not installed."""

    name: str
    packages: dict[str, str]
    wrong: tuple[str, ...]  # packages that are installed in a version that does not fit

    @property
    def complete(self) -> bool:
        """True if every package is installed in a version that fits."""
        return not self.missing and not self.wrong

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name, number in self.packages.items() if not number]

    @property
    def broken(self) -> bool:
        """True if a package does not fit, or the core is incomplete."""
        return bool(self.wrong) or (self.name == "core" and bool(self.missing))

    @property
    def description(self) -> str:
        """Description for people, with the remedy."""
        install = install_command("" if self.name == "core" else self.name)
        if self.complete:
            return "complete: " + ", ".join(f"{n} {v}" for n, v in self.packages.items())
        if self.wrong:
            return f"another version is needed: {', '.join(self.wrong)}: {install}"
        return f"not installed: {', '.join(self.missing)}: {install}"


def installed_extras() -> list[Extra]:
    """Return the core and every extra; nothing if ActSpan itself is not installed as a package."""
    try:
        needed = [Requirement(text) for text in requires("actspan") or ()]
        names = metadata("actspan").get_all("Provides-Extra") or []
    except PackageNotFoundError:
        return []
    core = [r for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    parts = {"core": core}
    for name in sorted({*names} - {*_NOT_LISTED}):
        wanted = [r for r in needed if r.marker is not None and r.marker.evaluate({"extra": name})]
        parts[name] = [r for r in wanted if r not in core and r.name != "actspan"]
    return [_extra(name, wanted) for name, wanted in parts.items()]


def _extra(name: str, wanted: list[Requirement]) -> Extra:
    packages: dict[str, str] = {}
    wrong = []
    for requirement in wanted:
        package, number = _installed(requirement.name)
        packages[package] = number
        if number and not requirement.specifier.contains(number, prereleases=True):
            wrong.append(f"{package} {number} ({requirement.specifier})")
    return Extra(name, packages, tuple(wrong))


def _installed(name: str) -> tuple[str, str]:
    """Return the name and version of a package, or of another that replaces it; else "".

    ONNX Runtime, for example, is the package onnxruntime or onnxruntime-gpu.
    """
    try:
        return name, version(name)
    except PackageNotFoundError:
        # The list of all distributions takes a second, so it is read only if the module exists.
        others = packages_distributions().get(name, ()) if find_spec(name) else ()
        other = next((other for other in others if other != name), None)
        return (name, "") if other is None else (other, version(other))
