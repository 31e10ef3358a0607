"""PyTorch: the trained networks from their weights, on the CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from actspan.config.bmn import BmnConfig
from actspan.config.stages import TemConfig
from actspan.core.errors import BackendError, ShapeError, require
from actspan.core.types import Float32
from actspan.core.wording import counted
from actspan.model.nets import FORMS, Net
from actspan.model.weights import NetConfig, settings_of
from actspan.runtime.backends import Backend, Support
from actspan.runtime.session import FileSession, SessionOptions, Shape, reason_of

if TYPE_CHECKING:
    from actspan.model.bsn.networks import Network


class TorchSession(FileSession):
    """Session of PyTorch."""

    def __init__(self, path: Path, backend: Backend, options: SessionOptions) -> None:
        from safetensors import SafetensorError, safe_open

        torch = require("torch", extra="train", purpose=f"backend {backend.name}")
        self._device = _device(torch, backend, options.device)
        self._threads = options.threads
        try:
            with safe_open(path, framework="numpy") as file:
                names, metadata = file.keys(), file.metadata() or {}
                weights: dict[str, Float32] = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError) as error:
            raise BackendError(f"{path}: not a file of weights: {reason_of(error)}") from error
        network, net = _build(path, weights, metadata)
        if backend.variant == "cuda":  # full precision, like all backends
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        self._network: Network | None = network.eval().to(self._device)
        super().__init__(
            backend=backend.name,
            vendor="PyTorch",
            path=path,
            input_shapes={FORMS[net].input: _input_shape(network.config)},
            output_names=FORMS[net].outputs,
        )

    def _compute(self, inputs: dict[str, NDArray[Any]]) -> Sequence[NDArray[Any]]:
        import torch

        network = self._network
        assert network is not None
        (x,) = inputs.values()
        with torch.inference_mode(), _threads(self._threads):
            output: Any = network(torch.from_numpy(x).to(self._device))
            outputs = (output,) if isinstance(output, torch.Tensor) else output
            return [values.cpu().numpy() for values in outputs]

    def _release(self) -> None:
        self._network = None


open_file = TorchSession


def check(backend: Backend, device: int = 0) -> Support:
    """Check that the device exists."""
    try:
        import torch
    except ImportError:
        return Support("", f"PyTorch is not installed: {backend.install}")
    try:
        _device(torch, backend, device)
    except BackendError as error:
        return Support(str(torch.__version__), str(error))
    return Support(str(torch.__version__))


def _device(torch: Any, backend: Backend, number: int) -> str:
    if backend.variant == "cpu":
        return "cpu"
    count = torch.cuda.device_count()
    if number >= count:
        raise BackendError(
            f"backend {backend.name}: PyTorch sees {counted(count, 'GPU')}, so none with "
            f"number {number}: is this a build with CUDA, and the driver installed?"
        )
    return f"cuda:{number}"


def _build(
    path: Path, weights: Mapping[str, Float32], metadata: Mapping[str, str]
) -> tuple[Network, Net]:
    """Build the network of these weights; return it with its kind."""
    from actspan.model.bmn.networks import Bmn
    from actspan.model.bsn.networks import Pem, Tem

    config = settings_of(weights, metadata)
    network: Network
    net: Net
    if isinstance(config, TemConfig):
        network, net = Tem(config), "tem"
    elif isinstance(config, BmnConfig):
        network, net = Bmn(config), "bmn"
    elif config is not None:
        network, net = Pem(config), "pem"
    else:
        raise BackendError(f"{path}: contains the weights of no TEM, PEM or BMN")
    try:
        network.load_weights(weights)
    except ShapeError as error:
        raise BackendError(f"{path}: damaged: {error}") from error
    return network, net


def _input_shape(config: NetConfig) -> Shape:
    if isinstance(config, BmnConfig):
        return None, config.channels, config.length
    return (None, config.channels, None) if isinstance(config, TemConfig) else (None, config.inputs)


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
