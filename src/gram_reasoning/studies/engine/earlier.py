"""What a table of a study keeps of the one that stood there before: runs made on another machine, or long ago."""

from typing import Any

from gram_reasoning.studies.definition import Study
from gram_reasoning.studies.engine import plan

KEPT, LEFT = "kept from an earlier table:", "left out of an earlier table, made with other settings:"


def merged(study: Study, table: dict[str, Any], before: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The table with the runs of an earlier one that it lacks, and their names.

    Runs that the study no longer names are left behind, and those that it names with other settings or judgements.
    """
    here = {_who(row) for row in table["rows"]}
    lacking = {(run.system, run.block, run.seed): run for run in study.known()}
    known = {_who(row): row for row in before["rows"] if _who(row) in lacking.keys() - here}
    kept = {who for who, row in known.items() if row.get("declared") == plan.declared(study, lacking[who])}
    names = {lacking[who].name for who in kept}
    left = {lacking[who].name for who in known.keys() - kept}
    groups = {lacking[who].group for who in kept}
    spent = {name: value for name, value in before["core_minutes_spent"].items() if name in names}
    plans = [row for row in before["plan"] if row["group"] in groups and row not in table["plan"]]
    notes = [f"{word} {', '.join(sorted(found))}" for word, found in ((KEPT, names), (LEFT, left)) if found]
    more = {
        "core_minutes_spent": table["core_minutes_spent"] | spent,
        "plan": table["plan"] + plans,
        "notes": table["notes"] + notes,
        "rows": table["rows"] + [row for row in before["rows"] if _who(row) in kept],
    }
    return {**table, **more}, names


def _who(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["system"], row["block"], row["seed"]
