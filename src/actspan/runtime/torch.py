"""PyTorch: the trained networks from their weights, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from actspan.config.stages import PemConfig, TemConfig
from actspan.core.errors import BackendError, ShapeError, require
from actspan.core.types import Float32
from actspan.core.wording import counted
from actspan.model.weights import members_of
from actspan.runtime.backends import Backend, Support
from actspan.runtime.session import FileSession, SessionOptions, Shape, reason_of

if TYPE_CHECKING:
    from actspan.model.bsn.networks import Network


class TorchSession(FileSession):
    """Session of PyTorch."""

    def __init__(self, path: Path, backend: Backend, options: SessionOptions) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        torch = _torch(backend)
        self._device = _device(backend, options.device)
        self._threads = options.threads
        try:
            weights: dict[str, Float32] = load_file(path)
        except (SafetensorError, OSError) as error:
            raise BackendError(f"{path}: not a file of weights: {reason_of(error)}") from error
        network, name, shape = _build(path, weights)
        if backend.variant == "cuda":  # full precision, like all backends
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        self._network: Network | None = network.eval().to(self._device)
        super().__init__(
            backend=backend.name,
            vendor="PyTorch",
            path=path,
            input_shapes={name: shape},
            output_names=["output"],
        )

    def _compute(self, inputs: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        import torch

        network = self._network
        assert network is not None
        (x,) = inputs.values()
        with torch.inference_mode(), _threads(self._threads):
            output: Any = network(torch.from_numpy(x).to(self._device))
            return [output.cpu().numpy()]

    def _release(self) -> None:
        self._network = None


open_file = TorchSession


def check(backend: Backend, device: int = 0) -> Support:
    """Check that the device exists."""
    try:
        version = str(_torch(backend).__version__)
    except ImportError:
        return Support("", f"PyTorch is not installed: {backend.install}")
    try:
        _device(backend, device)
    except BackendError as error:
        return Support(version, str(error))
    return Support(version)


def _torch(backend: Backend) -> Any:
    return require("torch", extra="train", purpose=f"backend {backend.name}")


def _device(backend: Backend, number: int) -> str:
    if backend.variant == "cpu":
        return "cpu"
    there = _torch(backend).cuda.device_count()
    if number >= there:
        raise BackendError(
            f"backend {backend.name}: PyTorch sees {counted(there, 'GPU')}, so none with "
            f"number {number}: is this a build with CUDA, and the driver installed?"
        )
    return f"cuda:{number}"


def _build(path: Path, weights: Mapping[str, Float32]) -> tuple[Network, str, Shape]:
    """Build the network of these weights; return it with its input's name and shape."""
    from actspan.model.bsn.networks import Pem, Tem

    network: Network
    shape: Shape
    if "conv1.weight" in weights:
        hidden, channels, _ = weights["conv1.weight"].shape
        members = members_of(weights)
        network = Tem(TemConfig(channels=channels, hidden=hidden, members=members))
        name, shape = "video", (None, channels, None)
    elif "fc1.weight" in weights:
        hidden, inputs = weights["fc1.weight"].shape
        network = Pem(PemConfig(inputs=inputs, hidden=hidden))
        name, shape = "video_feature", (None, inputs)
    else:
        raise BackendError(f"{path}: holds the weights of neither TEM nor PEM")
    try:
        network.load_weights(weights)
    except ShapeError as error:
        raise BackendError(f"{path}: damaged: {error}") from error
    return network, name, shape


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of threads for the calling thread, and restore it afterwards."""
    import torch

    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
