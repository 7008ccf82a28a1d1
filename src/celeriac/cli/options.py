"""Options that several commands share; each is the setting of the same name, which describes it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from celeriac.settings import Settings


def filled(value: str | list[str] | None) -> str | list[str] | None:
    """Refuse an empty value of a filter: passed over, it would mean more than was asked for.

    Raises:
        BadParameter
    """
    if value == "" or (isinstance(value, list) and "" in value):
        raise typer.BadParameter("Give it a value, or leave it out.")
    return value


def _setting(name: str, *flags: str) -> Any:
    """Make the option of a setting; one that is not typed leaves the setting to its variable."""
    field = Settings.model_fields[name]
    variable = f"{Settings.model_config.get('env_prefix', '')}{name}".upper()
    has_default = field.default_factory is None and field.default is not None
    return typer.Option(
        *flags,
        help=f"{field.description} ({variable})",
        show_default=str(field.default) if has_default else False,
    )


Host = Annotated[str | None, _setting("host")]
Port = Annotated[int | None, _setting("port")]
FlowerPort = Annotated[int | None, _setting("flower_port")]
Workers = Annotated[int | None, _setting("workers")]
Concurrency = Annotated[int | None, _setting("concurrency")]
DataDir = Annotated[Path | None, _setting("data_dir")]
Broker = Annotated[str | None, _setting("broker_url", "--broker")]
Redis = Annotated[str | None, _setting("redis_url", "--redis")]
App = Annotated[str | None, _setting("app", "--app", "-A")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
