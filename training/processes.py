"""The processes of a run, as `torchrun` or `accelerate launch` started them."""

from datetime import timedelta

from accelerate import Accelerator, PartialState

PATIENCE = timedelta(days=2)  # of the others, while the first process decodes or tokenises alone


def processes(device: str) -> PartialState:
    """What this process is among the others; `device` is `cpu` or `auto`. Call it before anything waits."""
    return PartialState(cpu=device == "cpu", timeout=PATIENCE)


def accelerator(device: str) -> Accelerator:
    """The same for training."""
    processes(device)
    return Accelerator(cpu=device == "cpu")
