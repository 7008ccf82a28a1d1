#!/bin/bash
# The start-up script of one host: user data, which EC2 runs once, and from then on celeriac.service,
# at each boot. Every step looks first at what is there: running it again mends what is missing.
set -euo pipefail

# @settings@

readonly LOG=/home/ubuntu/startup.log
readonly STATE=/var/lib/celeriac
readonly SECRETS=/etc/celeriac/celeriac.env
readonly RELEASES=/opt/celeriac
readonly DATA=/srv/celeriac
readonly DOCKER_VOLUMES=/var/lib/docker/volumes
readonly FSTAB=/etc/fstab
readonly SELF=/usr/local/sbin/celeriac-start
readonly UNIT=/etc/systemd/system/celeriac.service
readonly DRAIN_UNIT=/etc/systemd/system/celeriac-drain.service
readonly KEYRING=/etc/apt/keyrings/docker.asc
readonly SOURCES=/etc/apt/sources.list.d/docker.list
readonly DISKS=/dev/disk/by-id

readonly DOCKER_SITE=https://download.docker.com/linux/ubuntu
readonly DOCKER_KEY=9DC858229FC7DD38854AE2D88D81803C0EBFCD88

step="begin"

begin() {
    step=$1
    printf '%s %s\n' "$(date --utc +%FT%TZ)" "$step"
}

finish() { # Leave one marker: ready, or failed with the reason.
    local code=$?
    rm -f "$STATE/ready" "$STATE/failed"
    if ((code == 0)); then
        begin "ready: $ROLE on $HOST"
        printf '%s\n' "$step" >"$STATE/ready"
        cp "$STATE/release" "$STATE/release.good"
    else
        begin "failed with exit code $code: $step"
        printf '%s\n' "$step" >"$STATE/failed"
    fi
}

patiently() { # patiently SECONDS COMMAND...: again until it succeeds or the time is over.
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 5
    done
}

install_self() { # The unit does the work, and does it again when it failed, and at each boot.
    begin "install the start-up script"
    install -D -m 0700 "$0" "$SELF"
    cat >"$UNIT" <<EOF
[Unit]
Description=Celeriac: the role $ROLE
Wants=network-online.target
After=network-online.target docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$SELF
TimeoutStartSec=45min
Restart=on-failure
RestartSec=60

[Install]
WantedBy=multi-user.target
EOF
    systemctl daemon-reload
    systemctl enable celeriac.service
    systemctl start celeriac.service
}

install_packages() {
    begin "install packages"
    export DEBIAN_FRONTEND=noninteractive
    python3 -c 'import boto3' 2>/dev/null && hash git gpg curl 2>/dev/null && return 0
    patiently 300 apt-get -qq -o DPkg::Lock::Timeout=300 update
    apt-get -qq -y -o DPkg::Lock::Timeout=300 install python3-boto3 git gpg curl
}

mount_data() { # Messages, results and history are on a volume that outlives this machine.
    [ -n "$VOLUME" ] || return 0
    local disk=$DISKS/nvme-Amazon_Elastic_Block_Store_${VOLUME//-/} found=0
    begin "wait for the data volume $VOLUME"
    patiently 900 test -e "$disk"
    begin "mount the data volume $VOLUME"
    blkid --probe "$disk" >/dev/null || found=$?
    case $found in
    0) ;;
    2) mkfs.ext4 -q -L celeriac "$disk" ;; # Nothing is on it: it is new.
    *) return 1 ;;
    esac
    # Docker waits for both, since it would begin anew in the empty folder below.
    local wait=nofail,x-systemd.required-by=docker.service,x-systemd.before=docker.service
    mount_at "$disk" "$DATA" ext4 "$wait"
    mkdir -p "$DATA/volumes"
    mount_at "$DATA/volumes" "$DOCKER_VOLUMES" none "bind,$wait"
}

mount_at() { # mount_at WHAT WHERE TYPE OPTIONS: now, and at each boot.
    mkdir -p "$2"
    grep -qF " $2 " "$FSTAB" || printf '%s %s %s %s 0 0\n' "$@" >>"$FSTAB"
    if ! mountpoint -q "$2"; then
        systemctl daemon-reload
        mount "$2"
        # A Docker that came with the image has the empty folder open.
        if systemctl is-active --quiet docker.service; then systemctl restart docker.service; fi
    fi
}

install_docker() {
    begin "install Docker and Compose"
    if docker compose version >/dev/null 2>&1; then
        systemctl start docker.service
        return 0
    fi
    mkdir -p "${KEYRING%/*}" "${SOURCES%/*}"
    patiently 300 curl -fsSL --max-time 60 -o "$KEYRING" "$DOCKER_SITE/gpg"
    gpg --show-keys --with-colons "$KEYRING" 2>/dev/null | grep ":$DOCKER_KEY:" >/dev/null
    local codename
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    printf 'deb [arch=%s signed-by=%s] %s %s stable\n' \
        "$(dpkg --print-architecture)" "$KEYRING" "$DOCKER_SITE" "$codename" >"$SOURCES"
    patiently 300 apt-get -qq -o DPkg::Lock::Timeout=300 update
    apt-get -qq -y -o DPkg::Lock::Timeout=300 install \
        docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin
}

# What follows it names the version: COMMIT, and BUCKET, KEY and SHA256, or REPOSITORY; and IMAGE.
read_release() {
    python3 - "$REGION" "$RELEASE_NAME" <<'PYTHON'
import json
import shlex
import sys

import boto3

region, name = sys.argv[1:]
found = boto3.client("ssm", region_name=region).get_parameter(Name=name, WithDecryption=True)
release = json.loads(found["Parameter"]["Value"])
for key in ("commit", "bucket", "key", "sha256", "repository", "image"):
    print(f"{key.upper()}={shlex.quote(release.get(key, ''))}")
PYTHON
}

fetch_bundle() { # fetch_bundle FILE
    python3 - "$REGION" "$BUCKET" "$KEY" "$1" <<'PYTHON'
import sys

import boto3

region, bucket, key, file = sys.argv[1:]
boto3.client("s3", region_name=region).download_file(bucket, key, file)
PYTHON
}

fetch_release() {
    begin "ask which version to run"
    patiently 300 read_release >"$STATE/release.new"
    if [ -e "$STATE/refused" ] && [ "$(grep -E '^(COMMIT|IMAGE)=' "$STATE/release.new")" = "$(cat "$STATE/refused")" ]; then
        begin "keep the version before: this one was not healthy"
        cp "$STATE/release.good" "$STATE/release.new"
    fi
    mv "$STATE/release.new" "$STATE/release"
    # shellcheck disable=SC1091 # It is written by read_release.
    . "$STATE/release"
    local folder=$RELEASES/$COMMIT
    if [ ! -e "$folder" ]; then
        begin "fetch version $COMMIT"
        rm -rf "$folder.new"
        mkdir -p "$folder.new"
        if [ -n "$REPOSITORY" ]; then
            git -C "$folder.new" init -q
            patiently 300 git -C "$folder.new" fetch -q --depth 1 "$REPOSITORY" "$COMMIT"
            git -C "$folder.new" checkout -q "$COMMIT"
        else
            patiently 300 fetch_bundle "$STATE/bundle.tar.gz"
            echo "$SHA256  $STATE/bundle.tar.gz" | sha256sum --check --quiet
            tar -xzf "$STATE/bundle.tar.gz" -C "$folder.new"
            rm "$STATE/bundle.tar.gz"
        fi
        mv "$folder.new" "$folder"
    fi
    ln -sfn "$folder" "$RELEASES/current"
}

read_environment() {
    python3 - "$REGION" "$PARAMETERS" <<'PYTHON'
import sys

import boto3

region, folder = sys.argv[1:]
pages = boto3.client("ssm", region_name=region).get_paginator("get_parameters_by_path")
found = 0
for page in pages.paginate(Path=folder, WithDecryption=True):
    for parameter in page["Parameters"]:
        if set(parameter["Value"]) & set("'\r\n"):
            sys.exit(f"{parameter['Name']} cannot stand in a file of settings")
        print(f"{parameter['Name'].rpartition('/')[2]}='{parameter['Value']}'")
        found += 1
sys.exit(not found)
PYTHON
}

hash_files() { # Mounts have the same path in each version: by this Compose sees that one changed.
    [ -d "$RELEASES/current/deploy/$ROLE" ] || return 0
    cd "$RELEASES/current/deploy/$ROLE"
    find . -type f -exec sha256sum {} + | sort | sha256sum | cut -c 1-16
}

write_environment() { # Root alone may read it; compose reads it as .env of its folder.
    begin "read the role's settings"
    mkdir -p "${SECRETS%/*}"
    install -m 0600 /dev/null "$SECRETS.new"
    patiently 300 read_environment >"$SECRETS.new"
    local files
    files=$(hash_files)
    cat >>"$SECRETS.new" <<EOF
COMPOSE_PROJECT_NAME=celeriac
CELERIAC_IMAGE=${IMAGE:-celeriac:$COMMIT}
WORKER_HOSTNAME=$HOST
RABBITMQ_NODE=$FULL_NAME
${ROLE^^}_FILES=$files
EOF
    mv "$SECRETS.new" "$SECRETS"
    ln -sfn "$SECRETS" "$RELEASES/current/.env"
}

compose() {
    docker compose --project-directory "$RELEASES/current" --profile "$ROLE" "$@"
}

start_role() {
    local image=${IMAGE:-celeriac:$COMMIT}
    # RabbitMQ and Redis have images of their own, which `up` pulls.
    if compose config --images | grep -Fx "$image" >/dev/null; then
        begin "have the image $image"
        if ! docker image inspect "$image" >/dev/null 2>&1; then
            if [ -n "$IMAGE" ]; then patiently 300 compose pull --quiet; else compose build; fi
        fi
    fi
    begin "start the role $ROLE and wait until it is healthy"
    # A role waits for those that it needs, which may still be installing themselves.
    local patience=${START_DEADLINE_S:-1200}
    patiently "$patience" compose up --detach --no-build --quiet-pull --wait \
        --wait-timeout "$patience" ${LEFT_OUT:+--scale "$LEFT_OUT=0"}
}

watch_for_notices() { # A worker stops before AWS takes its machine away.
    [ "$ROLE" = celery ] || return 0
    begin "watch for a notice that this machine is taken away"
    cat >"$DRAIN_UNIT" <<EOF
[Unit]
Description=Celeriac: stop the worker before this machine is taken away
After=celeriac.service

[Service]
ExecStart=$RELEASES/current/infra/host/drain.sh
Restart=on-failure
RestartSec=5

[Install]
WantedBy=multi-user.target
EOF
    systemctl daemon-reload
    systemctl enable celeriac-drain.service
    systemctl restart --no-block celeriac-drain.service
}

mkdir -p "$STATE" "$RELEASES" "${LOG%/*}"
# The unit's and a rollout's take turns; what one of them leaves running does not hold the lock.
if [ "$0" = "$SELF" ] && [ -z "${TURN:-}" ]; then
    exec env TURN=mine flock --close "$STATE/lock" "$0"
fi
# It goes on where nobody hears it any more, such as when SSH is cut.
exec > >(tee -p -a "$LOG") 2>&1
if [ "$0" != "$SELF" ]; then
    install_self
    exit
fi
trap finish EXIT
install_packages
mount_data
install_docker
fetch_release
write_environment
start_role
watch_for_notices
