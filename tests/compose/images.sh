#!/usr/bin/env bash
# Sourced: a Docker daemon where none runs, and the images of the containers that are tested.
# IMAGES=real fails instead of making stand-ins.
work=${COMPOSE_TEST_FOLDER:-/var/tmp/celeriac-compose-test} # Kept between runs, so that the next is quick.
mkdir -p "$work"

skip() {
    echo "SKIPPED: the containers were not tested, since $1." >&2
    exit "${SKIP_STATUS:-0}"
}

start_daemon() {
    [[ $(id -u) == 0 ]] || skip "no Docker daemon answers and only root can start one"
    [[ -z ${CI:-} ]] || scripts/install-test-servers containers || skip "Docker cannot be installed"
    ! docker info >/dev/null 2>&1 || return 0 # Its package may have started one.
    command -v dockerd >/dev/null || skip "no Docker daemon answers and dockerd is not installed"
    export DOCKER_HOST=unix://$work/docker.sock
    dockerd --data-root "$work/docker" --exec-root "$work/run" --pidfile "$work/dockerd.pid" \
        --host "$DOCKER_HOST" --bip 172.29.0.1/24 \
        --default-address-pool base=172.29.128.0/17,size=24 >"$work/dockerd.log" 2>&1 9>&- &
    daemon=$!
    trap 'kill "$daemon"; wait "$daemon" || true' EXIT
    for ((tries = 0; tries < 60; tries++)); do
        ! docker info >/dev/null 2>&1 || { empty && return 0; }
        kill -0 "$daemon" 2>/dev/null || { trap - EXIT && break; }
        sleep 0.5
    done
    skip "dockerd does not start: $(grep 'failed to start' "$work/dockerd.log" || tail -n 1 "$work/dockerd.log")"
}

empty() { # What a run that was cut off has left comes back with the daemon.
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null
}

mirror() { # Where this machine has its own packages from, if it is a Debian.
    local own
    own=$(grep -hosE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/* | grep -v '^#' | head -n 1 || true)
    echo "${DEBIAN_MIRROR:-${own:-http://deb.debian.org/debian}}" | tr -d ' '
}

debian() { # Debian as an image, without what nobody reads in a container.
    ! docker image inspect celeriac-stand-in/debian >/dev/null 2>&1 || return 0
    command -v debootstrap >/dev/null || skip "no image can be pulled and debootstrap is not installed"
    local root=$work/debian
    rm -rf "$root"
    debootstrap --variant=minbase trixie "$root" "$(mirror)" >"$work/debootstrap.log" || {
        echo "debootstrap fails:" >&2 && tail -n 5 "$work/debootstrap.log" >&2 && exit 1
    }
    rm -rf "$root"/usr/share/{doc,info,locale,man}/* "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    tar --directory "$root" --create . | docker import - celeriac-stand-in/debian >/dev/null
    rm -rf "$root"
    docker run --rm celeriac-stand-in/debian true || skip "this machine's Docker can start no container"
}

# stand_in NAME IMAGE VARIABLE [OPTION ...]: where IMAGE can be had, nothing; else make one of Debian's,
# under a name of its own that nobody takes for the real one, and have VARIABLE name that.
stand_in() {
    ! docker pull --quiet "$2" >/dev/null 2>&1 || return 0
    [[ ${IMAGES:-} != real ]] || { echo "$2 cannot be pulled." >&2 && exit 1; }
    local own=celeriac-stand-in/$1
    export "$3=$own"
    ! docker image inspect "$own" >/dev/null 2>&1 || return 0
    debian
    echo "Making a stand-in of Debian's for $2"
    rm -rf "$work/context" && cp -r tests/compose "$work/context"
    # Where this machine trusts more than Debian does, a proxy stands before it.
    cp /etc/ssl/certs/ca-certificates.crt "$work/context"
    docker build --quiet --network host --tag "$own" --file "$work/context/$1.Dockerfile" "${@:4}" "$work/context"
}

plugins() { # Debian's, for a Docker that came without.
    ! docker compose version >/dev/null 2>&1 || return 0
    export DOCKER_CONFIG=$work/config
    ! docker compose version >/dev/null 2>&1 || return 0
    debian
    mkdir -p "$DOCKER_CONFIG"
    docker run --rm --network host --volume "$DOCKER_CONFIG:/config" celeriac-stand-in/debian sh -euc '
        apt-get update -qq && cd /tmp && apt-get download -qq docker-compose docker-buildx
        for package in *.deb; do dpkg-deb -x "$package" .; done
        cp -r usr/libexec/docker/cli-plugins /config'
}

have_images() {
    [[ -O $work ]] || { echo "$work belongs to somebody else." >&2 && exit 1; }
    exec 9>"$work/lock" # Two at once would remove each other's containers.
    flock 9
    docker info >/dev/null 2>&1 || start_daemon
    plugins
    stand_in python python:3.13-slim BASE_IMAGE
    stand_in rabbitmq rabbitmq:4.1-management RABBITMQ_IMAGE
    stand_in redis redis:8.0 REDIS_IMAGE
    make image ARGS="--quiet --network host --build-arg BASE_IMAGE --build-arg PIP_INDEX_URL --build-arg NPM_CONFIG_REGISTRY"
}
