"""How what belongs to a stack is told from all else in the account."""

import pulumi


def tags(name: str, **more: str) -> dict[str, str]:
    """Give the tags of a resource; `Project` and `Stack` find all that must go with the stack."""
    return {"Name": name, "Project": "celeriac", "Stack": pulumi.get_stack(), **more}
