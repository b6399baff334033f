"""What kind of failure an exception is."""

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """The device or the host ran out; torch's CPU allocator says so in a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def is_fatal(error: BaseException) -> bool:
    """The device is lost (a sticky CUDA error): no later step can succeed. The class exists from torch 2.8 on."""
    return type(error).__name__ == "AcceleratorError"
