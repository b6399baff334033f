"""The box between the engine's thread and one reader."""

from dataclasses import replace

import numpy as np

from models.decoder import Artifact
from service.engine.events import Done, Failed, Preview, Progress, Report, SampleDone, Saved
from service.engine.mailbox import Mailbox


def test_a_slow_reader_gets_the_newest_partials_and_every_result() -> None:
    notified: list[None] = []
    box = Mailbox(lambda: notified.append(None))
    picture = Artifact(np.zeros((1, 1, 1), np.uint8), np.zeros(1, np.int32))
    report = Report("toy", "0", 0, 0, "1", 1, 0, False, "", 0.0, 0.0)
    for step in range(50):
        for sample in range(2):
            box.put(Progress("a", sample, step, 50, step / 50))
            box.put(Preview("a", sample, step, step, 50, step / 50, picture))
            box.put(Saved("a", sample, step, b"%d" % step))
        box.put(SampleDone("b", picture, replace(report, sample=step)))
    box.put(Done("b"))
    box.put(Failed("a", "cancelled"))
    events = box.take()
    assert len(notified) == 1, "a reader is woken once, however much comes before it reads"
    assert [event.report.sample for event in events if isinstance(event, SampleDone)] == list(range(50))
    assert [type(event) for event in events[-2:]] == [Done, Failed]
    partial = [event for event in events if isinstance(event, Progress | Preview | Saved)]
    assert len(partial) == 6 and {event.step for event in partial} == {49}
    assert box.take() == []
    box.put(Done("c"))
    assert len(notified) == 2
