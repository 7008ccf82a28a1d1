#!/bin/bash
# As the official image does it: the server never runs as root, and owns its folder.
set -eu
if [[ $1 == rabbitmq* && $(id -u) == 0 ]]; then
    [[ $1 != rabbitmq-server ]] || find /var/lib/rabbitmq ! -user rabbitmq -exec chown rabbitmq '{}' +
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups "$0" "$@"
fi
# Debian's own script would change the user once more.
[[ $1 != rabbitmq-server ]] || exec /usr/lib/rabbitmq/bin/rabbitmq-server
exec "$@"
