from pathlib import Path

from models.catalogue import Catalogue
from tests.tiny import tiny_checkpoint


def test_the_preferred_come_first_and_the_others_stay_in_order(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        tiny_checkpoint(tmp_path, name)
    catalogue = Catalogue.scan([tmp_path])
    assert list(catalogue.entries) == ["a", "b", "c"]
    assert list(catalogue.preferring(["elsewhere", "c"]).entries) == ["c", "a", "b"]
    assert list(catalogue.preferring([]).entries) == ["a", "b", "c"]
