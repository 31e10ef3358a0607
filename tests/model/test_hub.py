"""Bundles on a hub: push, pull and use, against a hub on loopback."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import actspan.model
from actspan.core.errors import HubError, MissingExtraError
from actspan.data.synthetic_dataset import write_synthetic_dataset
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from actspan.model.bundle import Bundle
from actspan.model.hub_address import HubAddress
from actspan.model.hub_card import CardRequest, is_own_card, model_card
from actspan.model.locations import bundle_folder
from tests.examples import write_bmn_bundle
from tests.model.loopback_hub import TOKEN, Client, LoopbackHub, loopback_hub

DEMO = Path(actspan.model.__file__).parent / "demo"
NAME = "someone/find-it"
hub_library = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub (extra 'hub')")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO, tmp_path / "model"))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def push(client: Client, bundle: Path, *words: str, token: str = TOKEN) -> str:
    done = client.actspan("push", bundle, NAME, "--license", "apache-2.0", *words, HF_TOKEN=token)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_bundle_is_pushed_and_pulled(
    hub: LoopbackHub, client: Client, bundle: Path, tmp_path: Path
) -> None:
    said = push(client, bundle)
    assert re.search(rf"pushed: 5 files to hf://{NAME}@[0-9a-f]{{40}}\n", said)
    assert hub.files(NAME).keys() == {".gitattributes", "README.md", *contents(bundle)}
    out = tmp_path / "pulled"
    assert client.actspan("pull", NAME, "--out", out).returncode == 0
    assert contents(out) == contents(bundle)
    assert [path for path in out.iterdir() if path.is_dir()] == []
    done = client.actspan("pull", NAME, "--out", out)
    assert (done.returncode, "already exists" in done.stderr) == (1, True)
    assert client.actspan("pull", NAME, "--out", out, "--force").returncode == 0


def test_a_model_of_the_hub_proposes_the_same(
    hub: LoopbackHub, client: Client, bundle: Path, tmp_path: Path
) -> None:
    hub.add(NAME, contents(bundle))
    dataset, out = tmp_path / "dataset", tmp_path / "result.json"
    write_synthetic_dataset(dataset, validation=2)
    propose(ProposeRequest(bundle, dataset, tmp_path / "expected.json"))
    done = client.actspan("propose", "--model", f"hf://{NAME}", "--dataset", dataset, "--out", out)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == (tmp_path / "expected.json").read_bytes()


def test_a_commit_is_downloaded_once(hub: LoopbackHub, client: Client, bundle: Path) -> None:
    commit = hub.add(NAME, contents(bundle))
    address = f"hf://{NAME}@{commit}"
    first = client.actspan("pull", address)
    assert first.returncode == 0
    hub.requests.clear()
    assert client.actspan("pull", address).stdout == first.stdout
    assert hub.requests == []
    assert client.actspan("pull", f"hf://{NAME}").stdout == first.stdout
    assert not [line for line in hub.requests if "resolve" in line]
    hub.down = True
    done = client.actspan("pull", f"hf://{NAME}", HF_HUB_OFFLINE="1")
    assert (done.stdout, done.stderr) == (first.stdout, "")


def test_a_later_commit_is_another_model(hub: LoopbackHub, client: Client, bundle: Path) -> None:
    hub.add(NAME, contents(bundle))
    hub.repositories[NAME].tags["v1"] = next(iter(hub.repositories[NAME].commits))
    first = client.actspan("pull", f"hf://{NAME}").stdout
    hub.add(NAME, contents(bundle) | {"README.md": b"more"})
    assert client.actspan("pull", f"hf://{NAME}").stdout != first
    assert client.actspan("pull", f"hf://{NAME}@v1").stdout == first


def test_only_files_of_the_bundle_are_downloaded(
    hub: LoopbackHub, client: Client, bundle: Path, tmp_path: Path
) -> None:
    hub.add(NAME, contents(bundle) | {"pytorch_model.bin": b"pickle", "code.py": b"import os"})
    assert client.actspan("pull", NAME, "--out", tmp_path / "out").returncode == 0
    assert contents(tmp_path / "out") == contents(bundle)
    assert not [line for line in hub.requests if "pytorch_model" in line or "code.py" in line]


def changed_manifest(files: dict[str, bytes], old: bytes, new: bytes) -> dict[str, bytes]:
    assert old in files["model.toml"]
    return files | {"model.toml": files["model.toml"].replace(old, new)}


PULL_ALL = """
import sys
from actspan.core.errors import HubError
from actspan.model.hub import local_bundle

for name in sys.argv[1:]:
    try:
        print(local_bundle(name))
    except HubError as error:
        print(error)
"""
FAILURES = {
    "nothing": "no such repository, or it is private: check its name, or sign in .*HF_TOKEN",
    "private": "no such repository, or it is private: check its name, or sign in .*HF_TOKEN",
    "gated": "needs the permission of its owner: ask on its page, then sign in",
    "no-bundle": "has no model.toml.*actspan push BUNDLE a/no-bundle",
    "incomplete": "incomplete: tem.onnx is missing; its owner has to push it again",
    "short": "tem.onnx: the transfer failed: .*; run it again",
    "flipped": "tem.onnx is damaged: its SHA-256 is not the recorded one; run it again; if it",
    "other-size": r"tem.onnx is damaged: 7 bytes where model.toml says \d+; its owner has to push",
    "too-large": "model.toml has 1,000,000,000 bytes; the limit is",
    "newer": "format version 9 is not known.*use a newer actspan",
    "outside": "'../tem.onnx' is not a plain file name",
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Messages about repositories that cannot be used, and the files that were downloaded."""
    files, home = contents(DEMO), tmp_path_factory.mktemp("home")
    with loopback_hub() as hub:
        hub.add("a/private", files, private=True)
        hub.add("a/gated", files, gated=True)
        hub.add("a/no-bundle", {"config.json": b"{}"})
        hub.add("a/incomplete", {k: v for k, v in files.items() if k != "tem.onnx"})
        hub.add("a/newer", changed_manifest(files, b"format_version = 1", b"format_version = 9"))
        hub.add("a/outside", changed_manifest(files, b"tem.onnx", b"../tem.onnx"))
        for name in ("short", "flipped", "other-size", "too-large"):
            hub.add(f"a/{name}", files)
        hub.short, hub.flipped = {"a/short/tem.onnx"}, {"a/flipped/tem.onnx"}
        hub.sizes = {"a/other-size/tem.onnx": 7, "a/too-large/model.toml": 10**9}
        done = Client(hub.url, home).python("-c", PULL_ALL, *(f"a/{name}" for name in FAILURES))
        assert done.stderr == ""
        said = dict(zip(FAILURES, done.stdout.splitlines(), strict=True))
        yield (
            said,
            [line for line in hub.requests if line.startswith("GET") and "/resolve/" in line],
        )
    assert not list(home.rglob("*.onnx"))


@pytest.mark.parametrize("name", FAILURES)
def test_what_cannot_be_pulled_is_one_line(
    name: str, refused: tuple[dict[str, str], list[str]]
) -> None:
    message = refused[0][name]
    assert re.match(rf"hf://a/{name}[:/]", message)
    assert re.search(FAILURES[name], message)


@pytest.mark.parametrize("name", ["too-large", "other-size", "outside"])
def test_a_file_is_refused_before_its_download(
    name: str, refused: tuple[dict[str, str], list[str]]
) -> None:
    asked = [line.rpartition("/")[2] for line in refused[1] if f"/a/{name}/" in line]
    assert asked == ([] if name == "too-large" else ["model.toml"])


def test_a_repaired_repository_is_pulled(hub: LoopbackHub, client: Client, bundle: Path) -> None:
    hub.add(NAME, contents(bundle))
    hub.short = {f"{NAME}/tem.onnx"}
    assert client.actspan("pull", NAME).returncode == 1
    hub.short.clear()
    hub.down = True
    assert "the hub fails (HTTP 503): try again later" in client.actspan("pull", NAME).stderr
    hub.down = False
    done = client.actspan("pull", NAME, "--json")
    assert contents(Path(json.loads(done.stdout)["bundle"])) == contents(bundle)


def test_a_token_opens_a_private_repository(hub: LoopbackHub, client: Client, bundle: Path) -> None:
    assert "pushed" in push(client, bundle, "--private")
    assert client.actspan("pull", NAME).returncode == 1
    assert client.actspan("pull", NAME, HF_TOKEN=TOKEN).returncode == 0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "was not downloaded before, and HF_HUB_OFFLINE is set: unset it"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached .*network"),
    ],
)
def test_without_a_network(environment: dict[str, str], expected: str, client: Client) -> None:
    done = client.actspan("propose", "--model", f"hf://{NAME}", "match.mp4", **environment)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert re.search(expected, done.stderr)


def test_an_unknown_revision(hub: LoopbackHub, client: Client, bundle: Path) -> None:
    hub.add(NAME, contents(bundle))
    done = client.actspan("pull", f"{NAME}@v7")
    assert done.stderr.startswith(f"error: hf://{NAME}@v7: the repository has no such revision; ")


def test_a_push_without_a_token(hub: LoopbackHub, client: Client, bundle: Path) -> None:
    done = client.actspan("push", bundle, NAME, "--license", "mit")
    assert done.returncode == 1
    assert "the hub refuses access (HTTP 401): sign in with `hf auth login`" in done.stderr
    assert hub.repositories == {}


def test_a_damaged_bundle_is_not_pushed(hub: LoopbackHub, client: Client, bundle: Path) -> None:
    (bundle / "pem.onnx").write_bytes(b"damaged")
    done = client.actspan("push", bundle, NAME, "--license", "mit", HF_TOKEN=TOKEN)
    assert (done.returncode, hub.requests) == (1, [])
    assert "pem.onnx: damaged" in done.stderr


def test_a_licence_that_the_hub_does_not_know(
    hub: LoopbackHub, client: Client, bundle: Path
) -> None:
    done = client.actspan("push", bundle, NAME, "--license", "wtfpl", HF_TOKEN=TOKEN)
    assert done.returncode == 1
    assert re.search('refused: .*"license" must be one of', done.stderr)
    assert hub.files(NAME).keys() == {".gitattributes"}


def test_files_of_an_earlier_bundle_are_removed(
    hub: LoopbackHub, client: Client, bundle: Path
) -> None:
    hub.add(NAME, {"notes.txt": b"mine"})
    push(client, bundle)
    found = Bundle.load(bundle)
    kept = {name: record for name, record in found.files.items() if name != "pem.onnx"}
    (bundle / "pem.onnx").unlink()
    text = (bundle / "model.toml").read_text(encoding="utf-8")
    entry = re.compile(r'\[files."pem.onnx"\]\n.*\n.*\n\n')
    (bundle / "model.toml").write_text(entry.sub("", text), encoding="utf-8")
    said = push(client, bundle, "--json")
    assert json.loads(said)["removed"] == ["pem.onnx"]
    assert hub.files(NAME).keys() == {"notes.txt", "README.md", "model.toml", *kept}


def test_a_card_that_somebody_wrote_is_kept(hub: LoopbackHub, client: Client, bundle: Path) -> None:
    push(client, bundle)
    own = hub.files(NAME)["README.md"]
    hub.add(NAME, hub.files(NAME) | {"README.md": own.replace(b"# find-it", b"# My model")})
    changed = hub.files(NAME)["README.md"]
    assert "note: README.md of the repository is kept" in push(client, bundle)
    assert hub.files(NAME)["README.md"] == changed
    assert "note" not in push(client, bundle, "--force")
    assert hub.files(NAME)["README.md"] == own


def test_the_card_describes_the_bundle(hub: LoopbackHub, client: Client, bundle: Path) -> None:
    figures = bundle.parent / "figures.json"
    document = {"AR@1": 20.0, "AR@100": 80.5, "AUC": 60.25, "videos": 9, "instances": 31}
    figures.write_text(json.dumps(document | {"subset": "testing"}), encoding="utf-8")
    push(client, bundle, "--data", "Streams that a program wrote.", "--figures", str(figures))
    assert "POST /api/validate-yaml" in hub.requests
    card = hub_library.ModelCard(hub.files(NAME)["README.md"].decode())
    assert (card.data.license, card.data.library_name) == ("apache-2.0", "actspan")
    values = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert values == {"AR@1": 20.0, "AR@100": 80.5, "AUC": 60.25}
    for part in (
        f'model = actspan.load("hf://{NAME}")',
        "- Streams that a program wrote.",
        "- Trained on synthetic.",
        "- 480 training videos: 480 samples, SHA-256 `ec34250f",
        "| model | 20.00 | 80.50 | 60.25 |",
        "measured on 9 testing videos with 31 instances by `actspan propose --model hf://",
        "stride_seconds = 0.5",
        "threshold_long = 0.9",
        "| `tem.safetensors` | 75,868 | `4412bec3",
        "`apache-2.0`, for the weights",
    ):
        assert part in card.content, part


def test_figures_of_the_training_are_in_the_card(bundle: Path) -> None:
    rows = {"model": {"AR@1": 6.0, "AUC": 30.0}, "label-free": {"AR@1": 1.0, "AUC": 36.0}}
    evaluation = {"videos": 10, "instances": 21, "figures": rows}
    changed = Bundle.load(bundle).with_training(evaluation=evaluation, preset="published", seed=3)
    text = model_card(changed, NAME, CardRequest(license="mit"))
    assert "| label-free | 1.00 | 36.00 |" in text
    command = "actspan train --dataset synthetic --out MODEL --seed 3 --preset published"
    assert f"measured on 10 validation videos with 21 instances by `{command}`." in text
    assert "not evaluated" in model_card(Bundle.load(DEMO), NAME, CardRequest(license="mit"))


def test_the_card_names_the_kind_of_model(bundle: Path, tmp_path: Path) -> None:
    request = CardRequest(license="mit")
    bmn = model_card(write_bmn_bundle(tmp_path / "bmn"), NAME, request)
    assert "A boundary-matching network (BMN) for ActSpan." in bmn
    assert "[pipeline.bmn]" in bmn
    assert "| `bmn.safetensors` |" in bmn
    assert "(BSN)" not in bmn
    bsn = model_card(Bundle.load(bundle), NAME, request)
    assert "A boundary-sensitive network (BSN) for ActSpan." in bsn


def test_a_card_knows_whether_it_was_changed(bundle: Path) -> None:
    text = model_card(Bundle.load(bundle), NAME, CardRequest(license="mit"))
    assert is_own_card(text)
    assert is_own_card(text.replace("\n", "\r\n"))
    assert not is_own_card(text.replace("Use", "Usage"))
    assert not is_own_card("# My model\n")


def test_a_misspelt_licence_gives_no_card(client: Client, bundle: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    done = client.actspan("push", bundle, NAME, "--license", "apche-2.0", "--card", card)
    assert (done.returncode, card.exists()) == (1, False)
    assert "no licence 'apche-2.0' (did you mean 'apache-2.0'?)" in done.stderr


def test_a_card_alone_is_written(client: Client, bundle: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    done = client.actspan("push", bundle, NAME, "--license", "mit", "--card", card)
    assert (done.returncode, done.stderr) == (0, f"card: {card}; nothing was pushed\n")
    assert is_own_card(card.read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", ["a", "a/b/c", "hf:///b", "a/b@", "a/b@c d", "../b", "a/b@/c"])
def test_wrong_addresses_are_refused(text: str) -> None:
    with pytest.raises(HubError, match="write hf://owner/name or"):
        HubAddress.parse(text)


def test_the_library_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"needs huggingface_hub, .*hub\]"):
        bundle_folder(f"hf://{NAME}")
