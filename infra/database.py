"""The history in a database of its own: PostgreSQL on RDS, which only the web's hosts reach."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import rds
from pulumi_random import RandomPassword

from credentials import SECRET_LENGTH
from stack_config import StackConfig
from tags import tags

PORT = 5432
VERSION = "17"
BACKUP_DAYS = 7
LEAST_GB = 20
"""What RDS takes for a disk of this kind. Source: RDS user guide, "gp3 storage"."""
NAME = "celeriac"


@dataclass(frozen=True)
class DatabaseArgs:
    """Where it is: subnets in two zones, which RDS asks for, and the group that guards it."""

    config: StackConfig
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group: pulumi.Input[str]


class Database(pulumi.ComponentResource):
    """`url` is what `CELERIAC_HISTORY_URL` takes, password included."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: DatabaseArgs) -> None:
        super().__init__("celeriac:infra:Database", name)
        child = pulumi.ResourceOptions(parent=self)
        password = RandomPassword("history", length=SECRET_LENGTH, special=False, opts=child).result
        group = rds.SubnetGroup(
            "history", subnet_ids=args.subnet_ids, tags=tags("history"), opts=child
        )
        database = rds.Instance(
            "history",
            engine="postgres",
            engine_version=VERSION,
            instance_class=args.config.database_class,
            allocated_storage=max(args.config.data_volume_gb, LEAST_GB),
            storage_type="gp3",
            storage_encrypted=True,
            db_name=NAME,
            username=NAME,
            password=password,
            db_subnet_group_name=group.name,
            vpc_security_group_ids=[args.security_group],
            publicly_accessible=False,
            backup_retention_period=BACKUP_DAYS,
            # Whoever destroys a stack has typed its name.
            skip_final_snapshot=True,
            tags=tags("history"),
            opts=pulumi.ResourceOptions(parent=self, protect=args.config.protect_data),
        )
        self.url = pulumi.Output.concat(
            f"postgresql://{NAME}:",
            password,
            "@",
            database.address,
            f":{PORT}/{NAME}?sslmode=require",
        )
        self.register_outputs({})
