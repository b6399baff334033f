import pytest

from models.family import PromptError
from models.prompts import understand_class

FASHION = [
    "t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
]  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("sneaker", "sneaker"),
        ("7", "sneaker"),
        ("Ankle Boot", "ankle boot"),
        ("a photo of an ankle boot, studio light", "ankle boot"),
        ("two sneakers on grass", "sneaker"),
        ("a red dress", "dress"),
        ("T-shirt", "t-shirt/top"),
        ("a t-shirt, please", "t-shirt/top"),
        ("a shirt", "shirt"),
        ("t-shirt/top", "t-shirt/top"),
    ],
)
def test_a_prompt_names_one_class(prompt: str, wanted: str) -> None:
    understood = understand_class(prompt, FASHION)
    assert understood.revised == wanted
    assert FASHION[understood.condition or 0] == wanted


@pytest.mark.parametrize("prompt", ["", "a cat", "10", "-1", "a bag and a coat", "sneakerish", "²"])
def test_a_prompt_that_names_none_or_several_lists_the_classes(prompt: str) -> None:
    with pytest.raises(PromptError, match="ankle boot"):
        understand_class(prompt, FASHION)
