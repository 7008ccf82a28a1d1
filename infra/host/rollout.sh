#!/bin/bash
# `make rollout` sends this to a host and runs it as root:
#   forward   to the version that the stack names now, or back where that one is not healthy
#   back      to the version before, since another host has refused the new one
#   keep      the new version, to which all hosts have gone: there is no way back from it any more
# Exit codes of forward: 3, it went back; 2, not even that worked, or it never learnt which version
# the stack names. Any other is that of a command which failed.
set -euo pipefail

readonly STATE=/var/lib/celeriac
readonly START=/usr/local/sbin/celeriac-start
readonly DEADLINE_S=${DEADLINE_S:-300}

start() { # With less patience than at a boot, since all other roles are there.
    # The rest of this script is on the input.
    START_DEADLINE_S=$DEADLINE_S "$START" </dev/null
}

back() { # A refused version is not tried again at a boot, only by another rollout.
    cp "$STATE/release.before" "$STATE/release.good" &&
        grep '^COMMIT=' "$STATE/release" >"$STATE/refused" &&
        start &&
        rm "$STATE/release.before"
}

case ${1:-} in
forward)
    # A rollout that was broken off has left it, and this one goes on with it.
    [ -e "$STATE/release.before" ] || cp "$STATE/release.good" "$STATE/release.before"
    rm -f "$STATE/refused"
    # A start that learns which version to run puts a new file there, whatever is in it.
    ln -f "$STATE/release" "$STATE/release.last"
    start && exit 0
    [ "$STATE/release" -ef "$STATE/release.last" ] && exit 2
    back || exit 2
    exit 3
    ;;
back) back ;;
keep) rm -f "$STATE/release.before" ;;
*) exit 64 ;;
esac
