"""Bad input of every command: one line that begins with `error:`, no traceback, exit code 1 or 2.

Usage errors have exit code 2 and name the help to read; others have exit code 1.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from actspan.cli import COMMANDS, main
from tests.examples import write_bundle, write_dataset

USAGE = [
    ("--nope", "no such option '--nope'"),
    ("nope", "no such command 'nope'"),
    ("doctor --all", "no such option '--all'"),
    ("demo --videos 2", "invalid value for '--videos': 2 is out of range: at least 3"),
    ("demo --videos many", "'many' is not a valid whole number"),
    ("extract a.mp4", "missing option '--out'"),
    ("extract a.mp4 --out o --workers 2", "--workers: no effect without --engine ray"),
    ("train --dataset data", "missing option '--out'"),
    ("train --dataset data --out o --validation-split 1", "1.0 is out of range: between 0 and 1"),
    ("convert --out o", "missing argument 'CHECKPOINTS...'"),
    ("export bundle --io fp32", "--io: no effect without --passes fp16"),
    ("optimize bundle/tem.onnx", "give SOURCE and TARGET, or --list"),
    ("optimize bundle/tem.onnx o.onnx --dim batch", "'batch' is not AXIS=N"),
    ("compile bundle --target tpu", "'tpu' is not one of 'ascend', 'tensorrt', 'openvino'"),
    ("verify bundle --threads 0", "0 is out of range: at least 1"),
    ("deploy junk --target openvino", "say which folder to write: --out"),
    ("backends --all", "no such option '--all'"),
    ("pack data", "give --out STORE to pack"),
    ("pack data --out o --shard-size 3XB", "'3XB' is not a size"),
    ("propose", "give one of VIDEOS, --dataset and --follow"),
    ("propose --model bundle --dataset data", "--dataset needs --out"),
    ("propose a.mp4 --precision fp8", "'fp8' is not one of 'fp32', 'bf16', 'int8'"),
    ("propose a.mp4 --worker-gpus x", "'x' is not a valid number"),
    ("staged nope", "no such command 'nope'"),
    ("staged rnu", "no such command 'rnu' (did you mean 'run'?)"),
    ("staged run --net tem --model bundle", "missing argument 'STAGE'"),
    ("label junk", "give either --labels-from or --model"),
    ("annotate nope", "no such command 'nope'"),
    ("annotate convert data o.json --rename-subset x", "OLD=NEW is needed"),
    ("annotate split data --out o.json --validation 0", "0.0 is out of range: above 0, at most 1"),
    ("annotate export data o --to nope", "'nope' is not one of 'csv', 'elan'"),
    ("evaluate data", "missing option '--ground-truth'"),
    ("tune junk --ground-truth data", "Folder 'junk' is a file"),
    ("report junk --out empty", "File 'empty' is a folder"),
    ("serve", "nothing to serve: give --model"),
    ("serve --videos data --port 70000", "70000 is out of range: 0 to 65535"),
    ("bench --batch 0", "0 is out of range: at least 1"),
    ("compare", "give results or logs"),
    ("compare junk --fail-if fast", "'fast' is not a limit such as slower:5%"),
    ("completion", "missing argument 'SHELL'. Choose from: bash, zsh, fish"),
    ("push bundle a/b", "missing option '--license'"),
    ("pull", "missing argument 'OWNER/NAME[@REVISION]'"),
    ("pull a/b --force", "--force: no effect without --out"),
    ("completion tcsh", "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
]

OTHERS = [
    ("demo --out data", "data: contains files that were not written by a demo"),
    (
        "extract empty --out o",
        "no videos in this folder; read are videos (.mp4, ...), tables",
    ),
    ("extract a.txt --out o", "a.txt: not a video"),
    ("extract a.mp4 --out o --stride 3", "'3' is not a length of time"),
    ("extract a.mp4 --out o --backbone onnx:none.onnx", "no such file: none.onnx"),
    ("extract 'nope*.mp4' --out o", "nope*.mp4: no file matches this pattern"),
    ("extract @none.txt --out o", "none.txt: no such list of videos"),
    ("train --dataset empty --out o", "empty: contains no annotations"),
    ("train --dataset data --out o --config junk", "junk: not valid TOML"),
    ("train --dataset data --out o --labels RUN", "no label matches 'RUN'; available: act"),
    ("train --dataset data --out bundle", "bundle: a bundle already exists"),
    ("convert junk --out o", "junk: cannot be read: it is text"),
    ("convert none --out o", "none: does not exist"),
    ("export empty", "empty is not a bundle"),
    ("export bundle --passes nope", "no pass 'nope'"),
    ("optimize junk o.onnx", "junk: not an ONNX file"),
    ("optimize none.onnx o.onnx", "none.onnx: cannot be read: No such file"),
    ("compile empty --target openvino", "empty is not a bundle"),
    ("compile bundle --target ascend --precision int8", "target ascend has no precision 'int8'"),
    ("verify empty", "empty is not a bundle"),
    ("verify bundle --backends nope", "backend 'nope' is not known"),
    ("deploy junk --target openvino --out o", "junk: cannot be read"),
    ("deploy bundle --target openvino --dataset empty", "empty: contains no annotations"),
    ("pack empty --out o", "empty: contains no annotations"),
    ("pack data --out bundle", "bundle: already exists and is not a store"),
    ("pack data --verify", "not a store (no store.toml)"),
    ("propose none.mp4", "none.mp4: no such file or folder"),
    ("propose --model empty a.mp4", "empty is not a bundle"),
    ("propose --model bundle --dataset data --out o --backend nope", "backend 'nope' is not known"),
    ("propose --model bundle --dataset data --out o --subset nope", "no video in subset 'nope'"),
    ("propose --model bundle --dataset data --out o --set soft_nms.decoy=1", "mean 'decay'?)"),
    ("propose --model bundle --dataset data --out o --set nope", "KEY=VALUE is needed"),
    ("propose --model bundle --dataset data --out o --settings junk", "junk: not valid TOML"),
    ("propose --model bundle --dataset data --out o --scores junk", "not an npz archive"),
    ("propose --model bundle --dataset data --out o --labels-from junk", "junk: not valid JSON"),
    ("propose --model bundle --dataset data --out o --detections", "has no classifier"),
    ("propose --model bundle --dataset data --out none/o.json", "the folder none does not exist"),
    ("propose --model bundle --dataset data --out data", "already exists and is not a run"),
    ("propose --follow none.mp4", "none.mp4: cannot be read"),
    ("staged tem-inputs --model bundle --dataset empty --out o", "contains no annotations"),
    ("staged tem-outputs empty", "empty: not a stage"),
    ("staged info empty --net tem", "empty: not a stage"),
    ("staged run empty --net tem --model bundle", "empty: not a stage"),
    ("staged pem-inputs empty", "empty: not a stage"),
    ("staged pem-outputs empty", "empty: not a stage"),
    ("staged script --out none/x.py", "none/x.py: cannot be written"),
    ("label junk --labels-from junk", "junk is not a run"),
    ("label empty --labels-from junk", "empty: no result.json in this folder"),
    ("annotate convert junk.json o.json", "junk.json: not valid JSON"),
    ("annotate convert a.txt o.json", "a.txt: unknown format"),
    ("annotate convert data o.xlsx", "suffix '.xlsx' is not a supported output format"),
    ("annotate split data --out o.json --by '('", "--by (: not a regular expression"),
    ("annotate export data o --to edl", "EDL counts frames"),
    ("evaluate junk.json --ground-truth data", "junk.json: not valid JSON"),
    ("evaluate empty --ground-truth data", "empty: no result.json in this folder"),
    ("evaluate data --ground-truth junk.json", "junk.json: not valid JSON"),
    ("evaluate junk.json --ground-truth data --tiou x", "tiou 'x': write first:step:last"),
    ("tune empty --ground-truth data", "empty: not a run (no run.toml)"),
    ("report junk.json --out r.html", "junk.json: not valid JSON"),
    ("report none --out r.html", "none: does not exist"),
    ("push empty a/b --license mit", "empty is not a bundle"),
    ("push bundle a --license mit", "a: not the address of a repository"),
    ("push bundle a/b --license 'my own'", "the hub knows no licence 'my own'"),
    ("push bundle a/b --license mit --figures junk.json", "not the output of actspan evaluate"),
    ("pull a/b/c", "a/b/c: not the address of a repository"),
    ("serve --model empty", "empty is not a bundle"),
    ("serve --videos data --token short", "token: at least 16 characters are needed"),
    ("bench --model empty", "empty is not a bundle"),
    ("bench --json none/x.json", "none/x.json: the folder"),
    ("bench --roofline x.xyz", "x.xyz: a picture's name must end in one of"),
    ("compare junk", "junk: not a log of a known tool"),
    ("compare --run-a none --run-b none --rounds 5", "command 'none' does not start"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with a bundle, a dataset, an empty folder and files of junk."""
    folder = tmp_path_factory.mktemp("place")
    write_bundle(folder / "bundle")
    write_dataset(folder / "data")
    (folder / "empty").mkdir()
    for name in ("junk", "junk.json", "a.mp4", "a.txt"):
        (folder / name).write_text("{oops")
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(autouse=True)
def _unchanged(place: Path) -> Iterator[None]:
    """Check that the command leaves nothing behind."""
    before = {*place.iterdir()}
    yield
    left = {*place.iterdir()} - before
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert {path.name for path in left} <= {"actspan-serve"}


def error_of(words: str, code: int) -> str:
    """Return the only line of a command that fails with this exit code."""
    done = CliRunner().invoke(main, shlex.split(words))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code
    assert done.stdout == ""
    line, end, rest = done.stderr.partition("\n")
    assert (end, rest) == ("\n", "")
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(("words", "text"), USAGE, ids=[words for words, _ in USAGE])
def test_usage_errors(words: str, text: str) -> None:
    line = error_of(words, 2)
    assert text in line
    assert line.rpartition("; see actspan")[2].endswith(" --help")


@pytest.mark.parametrize(("words", "text"), OTHERS, ids=[words for words, _ in OTHERS])
def test_other_errors(words: str, text: str) -> None:
    assert text in error_of(words, 1)


def test_every_command_is_in_the_table() -> None:
    assert {words.split()[0] for words, _ in USAGE} >= {*COMMANDS}
    assert {words.split()[0] for words, _ in OTHERS} >= {*COMMANDS} - {
        *("doctor", "backends", "completion")  # they take no input
    }
