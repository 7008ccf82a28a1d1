"""Redis as a service: Valkey on ElastiCache, a copy that takes over, a user for each role."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import elasticache

from celeriac.topology import CELERY, FLASK, FLOWER, REDIS
from stack_config import StackConfig
from tags import tags

ENGINE, VERSION, FAMILY = "valkey", "8.0", "valkey8"
COPIES = 2
SNAPSHOT_DAYS = 1

MAY = {
    FLASK.name: "~* &* +@all -@admin -@dangerous +info",
    CELERY.name: "~* &* +@all -@admin -@dangerous +info",
    FLOWER.name: "~* &* -@all +@read +@connection +@pubsub -publish -spublish",
}
"""What each role may do: the same as in deploy/redis/users.acl."""


@dataclass(frozen=True)
class CacheArgs:
    """Passwords by role, subnets in two zones, and the group that guards it."""

    config: StackConfig
    passwords: Mapping[str, pulumi.Output[str]]
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group: pulumi.Input[str]


class Cache(pulumi.ComponentResource):
    """`host` is the name of whichever copy takes writes; it speaks TLS alone."""

    host: pulumi.Output[str]

    def __init__(self, name: str, args: CacheArgs) -> None:
        super().__init__("celeriac:infra:Cache", name)
        self._name = f"{name}-{pulumi.get_stack()}"
        self._child = pulumi.ResourceOptions(parent=self)
        subnets = elasticache.SubnetGroup(
            "redis", subnet_ids=args.subnet_ids, tags=tags("redis"), opts=self._child
        )
        self.host = elasticache.ReplicationGroup(
            "redis",
            description="Results and live state of Celeriac",
            engine=ENGINE,
            engine_version=VERSION,
            node_type=args.config.cache_type,
            port=REDIS.ports["redis"],
            num_cache_clusters=COPIES,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            at_rest_encryption_enabled=True,
            transit_encryption_enabled=True,
            parameter_group_name=self._create_parameters(),
            subnet_group_name=subnets.name,
            security_group_ids=[args.security_group],
            user_group_ids=[self._create_users(args.passwords)],
            snapshot_retention_limit=SNAPSHOT_DAYS,
            tags=tags("redis"),
            opts=pulumi.ResourceOptions(parent=self, protect=args.config.protect_data),
        ).primary_endpoint_address
        self.register_outputs({"host": self.host})

    def _create_parameters(self) -> pulumi.Output[str]:
        """Have it refuse what there is no room for: by default it would forget results."""
        group = elasticache.ParameterGroup(
            "redis",
            family=FAMILY,
            parameters=[{"name": "maxmemory-policy", "value": "noeviction"}],
            tags=tags("redis"),
            opts=self._child,
        )
        return pulumi.Output.from_input(group.name)

    def _create_users(self, passwords: Mapping[str, pulumi.Output[str]]) -> pulumi.Output[str]:
        users = [
            elasticache.User(
                f"redis-{role}",
                user_id=f"{self._name}-{role}",
                user_name=role,
                engine=ENGINE,
                access_string=f"on {rights}",
                passwords=[passwords[role]],
                tags=tags(f"redis-{role}"),
                opts=self._child,
            )
            for role, rights in MAY.items()
        ]
        group = elasticache.UserGroup(
            "redis",
            user_group_id=self._name,
            engine=ENGINE,
            user_ids=[user.user_id for user in users],
            tags=tags("redis"),
            opts=self._child,
        )
        return pulumi.Output.from_input(group.id)
