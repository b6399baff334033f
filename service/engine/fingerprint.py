"""What the bits of a result depend on besides the request: the numerics of this process."""

import platform

import torch


def fingerprint(device: str, dtype: str) -> str:
    """E.g. `torch2.13.0-AVX512-onednn-t2-float32-cpu`; equal fingerprints and plans give equal bytes."""
    parts = [f"torch{torch.__version__.split('+')[0]}"]
    if device == "cpu":
        maths = "onednn" if torch.backends.mkldnn.is_available() else "native"  # type: ignore[no-untyped-call]
        parts += [torch.backends.cpu.get_cpu_capability(), platform.machine(), maths]
        parts += [f"t{torch.get_num_threads()}", dtype, "cpu"]
    else:
        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
        parts += [dtype, name.replace(" ", "_")]
    return "-".join(parts)


def pick_device(wanted: str) -> str:
    """`auto` is the best there is. Raises ValueError for a device that this machine lacks."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind = wanted.partition(":")[0]
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if kind not in there:
        raise ValueError(f"device is auto, cpu, cuda, cuda:N or mps, not {wanted!r}")
    if not there[kind]:
        raise ValueError(f"device {wanted!r} is not available to this torch ({torch.__version__})")
    return "cuda:0" if wanted == "cuda" else wanted
