"""What the terminal shows: tables, live progress, errors. The only part that imports rich.

Here is what most commands show; each other module is imported by the commands that need it.
"""

from ensemble.display.runs import (
    show_costs,
    show_curves,
    show_failures,
    show_left,
    show_per_class,
    show_range_test,
    show_runs,
    show_search,
    warn_left_out,
)
from ensemble.display.text import (
    ask,
    err,
    leave_stdout_to_json,
    minutes,
    next_commands,
    note,
    out,
    percent,
    say,
    show_error,
    show_json,
    show_stopped,
)

__all__ = [
    "ask",
    "err",
    "leave_stdout_to_json",
    "minutes",
    "next_commands",
    "note",
    "out",
    "percent",
    "say",
    "show_costs",
    "show_curves",
    "show_error",
    "show_failures",
    "show_json",
    "show_left",
    "show_per_class",
    "show_range_test",
    "show_runs",
    "show_search",
    "show_stopped",
    "warn_left_out",
]
