"""Model cards: sections come and go, the rest of a text stays."""

from training.evaluate.card import with_sections


def test_sections_are_replaced_where_they_are_and_added_where_not() -> None:
    text = "# name\n\nMine.\n\n## Quality\n\nold\n\n### finer\n\nold too\n\n## Training\n\nkept\n"
    made = with_sections(text, {"Quality": "new", "Samples": "pictures"})
    assert made == "# name\n\nMine.\n\n## Quality\n\nnew\n\n## Training\n\nkept\n\n## Samples\n\npictures\n"
    assert with_sections(made, {"Quality": "new", "Samples": "pictures"}) == made
    assert with_sections("# name", {"Quality": "new"}) == "# name\n\n## Quality\n\nnew\n"
