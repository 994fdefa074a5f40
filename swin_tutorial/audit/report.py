"""What an audit says: a verdict, a table, the smallest failing case and a picture of it."""

from dataclasses import dataclass

from swin_tutorial.audit.diagnosis import NO_DIAGNOSIS, Diagnosis
from swin_tutorial.audit.findings import Finding, Pair, Watched
from swin_tutorial.audit.museum.mistake import Mistake
from swin_tutorial.windows import size_text


@dataclass(frozen=True, eq=False, repr=False)
class AuditReport:
    """The result of an audit.  Print it, or show it in a notebook.

    Args:
        watched: what was found on each map.
        diagnosis: which known mistakes behave the same or nearly so; of a right block, none.
    """

    watched: Watched
    diagnosis: Diagnosis = NO_DIAGNOSIS

    @property
    def mistake(self) -> Mistake | None:
        """The known mistake that behaves the same; None if the block is right or none does."""
        return self.diagnosis.mistake

    @property
    def nearest(self) -> Mistake | None:
        """If none behaves the same, the known mistake that comes nearest; None if none is near."""
        return self.diagnosis.nearest

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found on each map, in the order in which they were tried."""
        return self.watched.findings

    @property
    def is_right(self) -> bool:
        """Whether nothing was found to be wrong on any map."""
        has_faults = any(finding.faults for finding in self.findings)
        return not (has_faults or self.watched.state or self.watched.growth)

    @property
    def leaks(self) -> list[tuple[Finding, Pair]]:
        """All pairs in which a query depends on a key and must not, with their finding."""
        return [(finding, pair) for finding in self.findings for pair in finding.leaks]

    @property
    def losses(self) -> list[tuple[Finding, Pair]]:
        """All pairs in which a query must depend on a key and does not, with their finding."""
        return [(finding, pair) for finding in self.findings for pair in finding.losses]

    @property
    def smallest(self) -> Finding | None:
        """The finding on the smallest map on which something is wrong."""
        wrong = [finding for finding in self.findings if finding.faults]
        return min(wrong, key=lambda finding: finding.expected.shape[0], default=None)

    @property
    def softness(self) -> float | None:
        """The largest remaining weight of a masked key beside a visible one; None if not known."""
        known = [f.behavior.softness for f in self.findings if f.behavior.softness is not None]
        return max(known, default=None)

    def as_dict(self) -> dict:
        """Return the report as plain values, for JSON."""
        return {
            "is_right": self.is_right,
            "mistake": self.mistake and self.mistake.name,
            "nearest": self.nearest and self.nearest.name,
            "softness": self.softness,
            "state": self.watched.state,
            "growth": self.watched.growth,
            "pushed_leaks": self.watched.pushed_leaks,
            "maps": [
                {
                    "size": list(finding.grid.size),
                    "window_size": list(finding.grid.window_size),
                    "shift_sizes": [list(grid.shift_size) for grid in finding.case],
                    "faults": finding.faults,
                    "leaks": len(finding.leaks),
                    "losses": len(finding.losses),
                    "sees_padding": finding.sees_padding,
                }
                for finding in self.findings
            ],
        }

    def __str__(self) -> str:
        """Return the verdict, a line for each map, and what helps."""
        return "\n".join([self._verdict(), "", *self._table(), "", *self._help()]).rstrip()

    def _verdict(self) -> str:
        wrong = sum(bool(finding.faults) for finding in self.findings)
        if self.is_right:
            return f"right on all {len(self.findings)} maps"
        if wrong == 0:
            return f"right on each of {len(self.findings)} maps, but not from one to the next"
        return f"wrong on {wrong} of {len(self.findings)} maps"

    def _table(self) -> list[str]:
        rows = [("map", "window", "shift", "")]
        for finding in self.findings:
            shifts = " ".join(size_text(grid.shift_size) for grid in finding.case)
            sizes = size_text(finding.grid.size), size_text(finding.grid.window_size), shifts
            rows.append((*sizes, "; ".join(finding.faults) or "right"))
        widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:3]]
        return [
            "  ".join([*(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=False)), row[3]])
            for row in rows
        ]

    def _help(self) -> list[str]:
        lines = []
        if self.watched.state:
            lines.append(f"State: {self.watched.state}.")
        if self.watched.growth:
            lines.append(f"Padding: {self.watched.growth}.")
        if self.mistake:
            lines.append(
                f"It behaves like this mistake: {self.mistake.name}. {self.mistake.sentence}"
            )
        elif self.nearest:
            lines.append(
                f"It behaves like none of the known mistakes. It looks most like this one: "
                f"{self.nearest.name}. {self.nearest.sentence}"
            )
        elif not self.is_right:
            lines.append("It behaves like none of the known mistakes.")
        if (case := self.smallest) and (pairs := [*case.leaks, *case.losses]):
            query, key = pairs[0]
            verb = "depends on" if case.leaks else "does not depend on"
            rule = "must not" if case.leaks else "must"
            lines.append(
                f"Smallest case: on a map of {size_text(case.grid.size)}, token {query} {verb} "
                f"token {key}, and it {rule}."
            )
        if self.is_right and self.softness:
            lines.append(
                f"The mask is finite: a masked key keeps up to {self.softness:.0e} of the weight "
                "of a visible one, and a large score brings it back. Use minus infinity."
            )
        if self.watched.pushed_leaks:
            lines.append(
                "With queries and keys a thousand times as large, "
                f"{self.watched.pushed_leaks} pairs leak."
            )
        if any(f.sees_padding and f.may_see_padding for f in self.findings):
            lines.append("Real tokens see padding, as in most public code.")
        return lines

    __repr__ = __str__  # what a notebook keeps beside the picture

    def figure(self):
        """Draw who should attend to whom, and who does, on the smallest map that fails."""
        from swin_tutorial.figures.audit import draw_finding

        return draw_finding(self.smallest or self.findings[0], self._headline())

    def _headline(self) -> str:
        return f"{self._verdict()}{f': {self.mistake.name}' if self.mistake else ''}"

    def _repr_png_(self) -> tuple[bytes, dict]:
        """Return the picture, with its size and alternative text, for a notebook."""
        from swin_tutorial.figures.audit import finding_title
        from swin_tutorial.figures.style import as_png, shown_width

        figure = self.figure()
        words = f"Audit: {self._headline()}. {finding_title(self.smallest or self.findings[0])}"
        return as_png(figure), {"alt": words, "width": shown_width(figure)}
