#!/bin/bash
# On a host of workers: wait until AWS says that it takes the machine away, two minutes before it does,
# and stop the worker, which finishes or hands back what it runs. celeriac-drain.service runs it.
set -euo pipefail

readonly METADATA=http://169.254.169.254/latest
readonly NOTICE=$METADATA/meta-data/spot/instance-action
readonly RELEASE=/opt/celeriac/current
readonly PAUSE_S=5
readonly TOKEN_TTL_S=60

announced() { # Without a notice the answer is 404, which curl makes a failure.
    local token
    token=$(curl -fsS --max-time 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: $TOKEN_TTL_S" \
        "$METADATA/api/token") || return 1
    curl -fs --max-time 5 -H "X-aws-ec2-metadata-token: $token" "$NOTICE"
}

until announced; do
    sleep "$PAUSE_S"
done
printf '\n%s this machine is taken away: stopping the worker\n' "$(date --utc +%FT%TZ)"
docker compose --project-directory "$RELEASE" --profile celery stop
