#!/bin/sh
# As the official images do it: the server never runs as root, and owns its folder.
set -eu
if [ "$1" = "$SERVER-server" ] && [ "$(id -u)" = 0 ]; then
    find . ! -user "$SERVER" -exec chown "$SERVER" '{}' +
    exec setpriv --reuid="$SERVER" --regid="$SERVER" --clear-groups "$0" "$@"
fi
umask 0077
exec "$@"
