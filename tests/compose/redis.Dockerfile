# Stands in for the official Redis image.
FROM celeriac-stand-in/debian
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends redis-server \
    && rm -rf /var/cache/apt/* /var/lib/apt/lists/* \
    && mkdir -p /data && chown redis:redis /data
COPY redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
WORKDIR /data
VOLUME /data
ENV SERVER=redis
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
