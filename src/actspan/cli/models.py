"""`actspan convert`, `verify` and `backends`: bundles from checkpoints, parity, and runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click

from actspan.cli.console import (
    findings,
    print_error,
    print_json,
    print_notes,
    print_skipped,
    progress_report,
    say,
)
from actspan.cli.help import print_sections
from actspan.cli.options import command, command_line
from actspan.cli.tables import print_table
from actspan.cli.values import split_names
from actspan.config.base import Bounds, ExistingBundle, ExistingFolder, OutputFile, Positive, doc
from actspan.config.bmn import BmnPreset
from actspan.core.wording import counted, quoted

if TYPE_CHECKING:
    from actspan.deploy.verification import Verification
    from actspan.model.bundle import Bundle
    from actspan.model.checkpoints import CheckpointNetwork

# Sizes that are not worth a word.
_USUAL = (("members", 1), ("dilated", 0), ("curves", 0), ("layers", 1))


@command(
    out="Bundle folder to write.",
    preset="Published code of a BMN, needed only if its file does not tell it.",
    length="Temporal scale T of a TEM, or of a BMN without its mask, which weights do not contain. "
    "[default: 100]",
    force="Replace networks that the bundle in --out already has.",
)
def convert(
    checkpoints: tuple[Path, ...],
    *,
    out: Path,
    preset: BmnPreset | None = None,
    length: Annotated[int, Bounds(2)] | None = None,
    force: bool = False,
    json_: bool = False,
) -> None:
    """Convert CHECKPOINTS from the authors, OpenMMLab and similar sources into a bundle.

    Give BSN's TEM, its PEM or both, in any order, or a BMN of JJBOY's code, OpenMMLab or
    PaddleVideo: the weights tell which is which. If --out has only one of TEM and PEM, the other is
    added. Code inside a checkpoint is never run; a file that contains code is refused.

    \b
    Example:
      actspan convert tem_best.pth.tar pem_best.pth.tar --out bsn/
      actspan convert pem_best.pth.tar --out bsn-with-a-tem/
      actspan convert BMN_best.pth.tar --preset jjboy2020 --out bmn/
    """
    from actspan.config.base import to_dict
    from actspan.model.checkpoints import ORIGINS
    from actspan.model.conversion import convert_checkpoints

    bundle, found = convert_checkpoints(
        list(checkpoints), out, preset=preset, length=length, overwrite=force
    )
    print_notes(_conversion_notes(found, length))
    networks: list[dict[str, Any]] = [
        {
            "file": checkpoint.path,
            "kind": checkpoint.kind,
            "origin": checkpoint.origin,
            "preset": checkpoint.preset,
            "config": to_dict(getattr(bundle.config, checkpoint.kind)),
            "parameters": checkpoint.parameters,
            "notes": checkpoint.notes,
        }
        for checkpoint in found
    ]
    if json_:
        print_json({"bundle": bundle.path, "networks": networks, "next": _next_command(bundle)})
        return
    for network in networks:
        preset_text = "" if network["preset"] is None else f", preset {network['preset']}"
        sizes = [
            f"{k} {v}"
            for k, v in network["config"].items()
            if v is not None and (k, v) not in _USUAL
        ]
        click.echo(
            f"{network['file'].name}: {network['kind'].upper()} from {ORIGINS[network['origin']]}"
            f"{preset_text}: {', '.join(sizes)}; {network['parameters']:,} parameters"
        )
    click.echo(f"bundle: {out}")
    click.echo(f"next:   {_next_command(bundle)}")


def _conversion_notes(networks: list[CheckpointNetwork], length: int | None) -> Iterator[str]:
    for checkpoint in networks:
        yield from checkpoint.notes
    if length is not None and all(checkpoint.kind == "pem" for checkpoint in networks):
        yield "--length is not used: it is the temporal scale of a TEM, and none is given"


def _next_command(bundle: Bundle) -> str:
    path = quoted(bundle.path)
    if "pem" in bundle.missing_nets:
        return f"actspan export {path}"
    source = "" if bundle.takes_features else " --scores scores.npz"
    return f"actspan propose --model {path} --dataset DIR{source} --out run/"


@command(
    dataset="A dataset folder. [default: synthetic features]",
    subset=doc("Use only the videos of this subset: validation, ... [default: all]", "NAME"),
    backends=doc(
        "Backends to check, comma-separated. [default: those that this project verifies, and "
        "compiled files]",
        "NAMES",
    ),
    threads="Number of threads.",
    markdown="Write the report as a Markdown page.",
)
def verify(
    bundle: ExistingBundle,
    *,
    dataset: ExistingFolder | None = None,
    subset: str | None = None,
    backends: str | None = None,
    threads: Positive = 2,
    markdown: OutputFile | None = None,
    json_: bool = False,
) -> None:
    """Compare every variant of a BUNDLE with its checkpoint.

    Variants are all graphs of the bundle (tem.onnx, tem.fp16.onnx, ...) on every backend, and its
    compiled files. Outputs are compared before and after the sigmoid, proposals by segment and
    rank, and, with a dataset, AR@AN and AUC. The exit code is 1 if a variant exceeds the limits of
    its precision, or if a requested variant does not run.

    \b
    Example:
      actspan verify bsn/
      actspan verify bsn/ --dataset my-videos/ --subset validation \\
          --markdown accuracy.md
      actspan verify bsn/ --backends onnxruntime,openvino:bf16 --json
    """
    if subset is not None and dataset is None:
        raise click.UsageError("--subset needs --dataset")
    with progress_report() as report:
        from actspan.core.files import atomic_file
        from actspan.deploy.accuracy_report import to_dict, to_markdown
        from actspan.deploy.verification import verify_bundle

        verification = verify_bundle(
            bundle,
            dataset=dataset,
            subset=subset,
            backends=split_names(backends),
            threads=threads,
            progress=report,
        )
    if markdown is not None:
        with atomic_file(markdown) as stream:
            stream.write(to_markdown(verification, command_line()).encode())
        say(f"report: {markdown}")
    if json_:
        print_json({**to_dict(verification), **findings(verification.problems, verification.notes)})
    else:
        counts = (verification.videos, "video"), (verification.proposals, "proposal")
        click.echo(f"{verification.material}: {', '.join(counted(*count) for count in counts)}")
        print_verification(verification)
        print_notes(verification.notes)
        if verification.passed:
            click.echo("every variant is within the limits of its precision")
        print_skipped(verification.problems)
    report_failures(verification)
    click.get_current_context().exit(0 if verification.passed else 1)


def print_verification(verification: Verification) -> None:
    """Print the tables of a verification, and the reasons of variants that failed."""
    from actspan.deploy.accuracy_report import answer_table, output_table

    if verification.ran:
        for header, rows in (output_table(verification), answer_table(verification)):
            print_table(header, rows)
    for result in verification.results:
        for reason in result.failures:
            say(f"{result.variant.name}: {reason}")


def report_failures(verification: Verification) -> None:
    """Print in one line which variants failed; nothing if none did."""
    failed = [result.variant.name for result in verification.results if result.failures]
    if not verification.ran:
        print_error("nothing could be run, so nothing was compared; see actspan backends")
    elif failed:
        print_error(
            f"{counted(len(failed), 'variant')} did not run, or differed by more than its "
            f"precision may: {', '.join(failed)}"
        )


@command()
def backends(*, json_: bool = False) -> None:
    """List the inference runtimes: installed, usable here, verified.

    The rows are in the order in which `--backend auto` looks for a runtime. It uses the first one
    that is usable and for which the bundle has the files. "Verified" runtimes are run by this
    project and compared with the checkpoint. A runtime that "differs" runs here but gives other
    proposals, so `auto` never uses it. The others follow their vendors' documentation and have not
    been tested here. `actspan verify` checks that the results of a bundle stay the same.

    \b
    Example:
      actspan backends
      actspan propose --model bsn/ --dataset my-videos/ --backend openvino \\
          --out run/
    """
    from actspan.runtime.backends import BACKENDS
    from actspan.runtime.opening import check_backend

    entries: list[dict[str, Any]] = []
    for name, backend in BACKENDS.items():
        support = check_backend(name)
        entries.append(
            {
                "backend": name,
                "device": backend.device,
                "files": backend.suffix,
                "precision": backend.precision,
                "installed": support.installed,
                "usable": support.usable,
                "version": support.version or None,
                "why_not": support.problem.removeprefix(f"backend {name}: ") or None,
                "verified": backend.verified,
                "changes_the_answer": backend.alters,
                "auto": backend.auto,
            }
        )
    if json_:
        print_json(entries)
        return
    rows = []
    for row in entries:
        usable, verified = ("yes" if row[column] else "no" for column in ("usable", "verified"))
        verified += ": differs" if row["changes_the_answer"] else ""
        rows.append((row["backend"], row["device"], row["version"] or "-", usable, verified))
    print_table(("backend", "device", "version", "usable", "verified"), rows, left=5)
    click.echo("verified: run by this project and compared with the checkpoint, on such a device")
    click.echo("differs: runs here, but changes the result; auto never uses it")
    reasons = []
    for row in entries:
        if not row["usable"]:
            install = f"not installed: {BACKENDS[row['backend']].install}"
            reasons.append((row["backend"], row["why_not"] if row["installed"] else install))
    print_sections([("Not usable", reasons)])
