#!/bin/bash
# `make rollout` sends this to a host and runs it as root:
#   ready     wait until the first start has ended well, or tell why it has not
#   forward   to the version that the stack names now, or back where that one is not healthy
#   back      to the version before, since another host has refused the new one
#   keep      the new version, to which all hosts have gone: there is no way back from it any more
# Exit codes of forward: 3, it went back; 2, not even that worked, or it never learnt which version
# the stack names. Any other is that of a command which failed.
set -euo pipefail

readonly STATE=/var/lib/celeriac
readonly RELEASES=/opt/celeriac
readonly START=/usr/local/sbin/celeriac-start
readonly DEADLINE_S=${DEADLINE_S:-300}
readonly READY_WITHIN_S=${READY_WITHIN_S:-2700}

start() { # With less patience than at a boot, since all other roles are there.
    # The rest of this script is on the input.
    START_DEADLINE_S=$DEADLINE_S "$START" </dev/null
}

back() { # A refused version is not tried again at a boot, only by another rollout.
    cp "$STATE/release.before" "$STATE/release.good" &&
        grep -E '^(COMMIT|IMAGE)=' "$STATE/release" >"$STATE/refused" &&
        start &&
        rm "$STATE/release.before"
}

clear_up() { # Without a way back, what the host does not run only fills its disk.
    local folder running
    running=$(readlink -f "$RELEASES/current")
    for folder in "$RELEASES"/*/; do
        [ "$(readlink -f "$folder")" = "$running" ] || rm -rf "${folder%/}"
    done
    if ! docker image prune --all --force >/dev/null || ! docker builder prune --force >/dev/null; then
        echo "Old images were not removed" >&2
    fi
}

ready() { # Docker is installed and the image built meanwhile; celeriac.service tries again by itself.
    until [ -e "$STATE/ready" ]; do
        if ((SECONDS >= READY_WITHIN_S)); then
            cat "$STATE/failed" >&2 || echo "its start has not ended yet" >&2
            return 1
        fi
        sleep 5
    done
}

case ${1:-} in
ready) ready ;;
forward)
    # A rollout that was broken off has left it, and this one goes on with it.
    # A host that was never healthy has none before.
    [ -e "$STATE/release.before" ] || [ ! -e "$STATE/release.good" ] ||
        cp "$STATE/release.good" "$STATE/release.before"
    rm -f "$STATE/refused"
    # A start that learns which version to run puts a new file there, whatever is in it.
    rm -f "$STATE/release.last"
    [ ! -e "$STATE/release" ] || ln "$STATE/release" "$STATE/release.last"
    start && exit 0
    [ "$STATE/release" -ef "$STATE/release.last" ] && exit 2
    back || exit 2
    exit 3
    ;;
back) back ;;
keep)
    rm -f "$STATE/release.before"
    clear_up
    ;;
*) exit 64 ;;
esac
