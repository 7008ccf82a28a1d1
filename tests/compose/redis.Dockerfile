# Stands in for the official Redis image, and with SERVER=valkey for that of Valkey.
FROM celeriac-stand-in/debian
ARG SERVER=redis
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends ${SERVER}-server \
    && rm -rf /var/cache/apt/* /var/lib/apt/lists/* \
    && mkdir -p /data && chown ${SERVER}:${SERVER} /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
WORKDIR /data
VOLUME /data
ENV SERVER=${SERVER}
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
