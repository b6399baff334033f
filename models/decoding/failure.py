"""What goes wrong with the numbers of some of many."""


class NotFinite(ArithmeticError):
    """`rows`: which of the samples."""

    def __init__(self, rows: list[int]) -> None:
        super().__init__(f"{len(rows)} sequence(s) produced non-finite values")
        self.rows = rows
