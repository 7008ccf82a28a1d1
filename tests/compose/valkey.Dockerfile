# Stands in for the official Valkey image.
FROM celeriac-stand-in/debian
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends valkey-server \
    && rm -rf /var/cache/apt/* /var/lib/apt/lists/* \
    && mkdir -p /data && chown valkey:valkey /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
WORKDIR /data
VOLUME /data
ENV SERVER=valkey
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["valkey-server"]
