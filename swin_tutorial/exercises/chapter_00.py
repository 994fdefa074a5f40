"""Chapter 00, start here: who may attend, and where the roll takes a row."""

from swin_tutorial.exercises.exercise import Exercise


def may_attend(query_region: int, key_region: int) -> bool:
    return query_region == key_region


def row_after_roll(row: int, height: int, shift_size: int) -> int:
    return (row - shift_size) % height


EXERCISES = {
    "may_attend": Exercise(may_attend, [(3, 3), (3, 0), (0, 3)]),
    "row_after_roll": Exercise(row_after_roll, [(5, 8, 2), (0, 8, 2), (1, 12, 3), (7, 8, 0)]),
}
