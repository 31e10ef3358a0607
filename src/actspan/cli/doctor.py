"""`actspan doctor`: what is installed, what works here, and what makes it slow."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from actspan import __version__
from actspan.cli.console import print_error, print_json, print_text
from actspan.cli.doctor_checks import Finding, run_checks
from actspan.cli.doctor_machine import check_folders, instructions, slow_parts
from actspan.cli.doctor_packages import Extra, installed_extras
from actspan.cli.help import Row, print_sections
from actspan.cli.options import command
from actspan.core.machine import core_count, processor_name
from actspan.core.wording import counted


@command()
def doctor(*, json_: bool = False) -> None:
    """Check what is installed, what works here, and what makes it slow.

    Every installed package that ActSpan uses is tried: a small network runs on each backend, a
    video is decoded, a kernel is compiled. Nothing is downloaded. The exit code is 1 if something
    that is installed does not work, or a folder cannot be written.

    \b
    Example:
      actspan doctor
      actspan doctor --json
    """
    extras, found = installed_extras(), run_checks()
    cache = next((finding.cache for finding in found if finding.cache), "")
    found += check_folders(cache)
    slow = list(slow_parts(found, cache))
    broken = [finding.part for finding in found if finding.state == "fails"]
    broken += [f"extra {extra.name}" for extra in extras if extra.broken]
    system = {
        "actspan": __version__,
        "folder": str(Path(__file__).parents[1]),
        "python": platform.python_version(),
        "program": sys.executable,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": core_count(),
        "instructions": instructions(),
    }
    if json_:
        parts = {e.name: {"complete": e.complete, "packages": e.packages} for e in extras}
        checks = [{"part": f.part, "state": f.state, "detail": f.detail} for f in found]
        reasons = [{"part": part, "reason": reason} for part, reason in slow]
        print_json({**system, "extras": parts, "checks": checks, "slow": reasons, "ok": not broken})
    else:
        _print(system, extras, found, slow)
        _print_verdict(broken)
    click.get_current_context().exit(1 if broken else 0)


def _print_verdict(broken: Sequence[str]) -> None:
    if not broken:
        print_text("\neverything that is installed works")
        return
    verb = "does" if len(broken) == 1 else "do"
    print_error(f"{', '.join(broken)} {verb} not work; the list above says why")


def _print(
    system: Mapping[str, object],
    extras: Sequence[Extra],
    found: Sequence[Finding],
    slow: Sequence[Row],
) -> None:
    """Print what was found, in 80 columns; what does not work is last."""
    rows: dict[str, list[Row]] = {state: [] for state in ("works", "absent", "fails")}
    for finding in found:
        rows[finding.state].append((finding.part, finding.detail))
    absent = ", ".join(part.removeprefix("backend ") for part, _ in rows["absent"])
    others = [("not here", f"{absent}: actspan backends gives the reasons")] if absent else []
    machine = f"{system['processor']}, {counted(core_count(), 'core')}, {system['instructions']}"
    print_sections(
        [
            (
                "System",
                [
                    ("actspan", f"{system['actspan']} in {system['folder']}"),
                    ("python", f"{system['python']}: {system['program']}"),
                    ("machine", f"{system['system']}: {machine}".removesuffix(", ")),
                ],
            ),
            ("Packages", [(extra.name, extra.description) for extra in extras]),
            ("Works", rows["works"] + others),
            ("Slow", slow),
            ("Does not work", rows["fails"]),
        ]
    )
