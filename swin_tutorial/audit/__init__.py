"""The audit: whose shifted-window mask is right, and if not, which mistake is it? (chapter 13)

>>> report = audit(block, window_size=7, shift_size=3, dim=96)
>>> print(report)

``audit`` takes any callable that maps ``b *size c`` to ``b *size c``.
"""

from swin_tutorial.audit.audit import assert_mask_is_right, audit, audit_builder, audit_stage
from swin_tutorial.audit.museum import MUSEUM, Mistake
from swin_tutorial.audit.report import AuditReport

__all__ = [
    "MUSEUM",
    "AuditReport",
    "Mistake",
    "assert_mask_is_right",
    "audit",
    "audit_builder",
    "audit_stage",
]
