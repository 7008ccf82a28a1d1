# Stands in for the official Prometheus image: its user, and its folder.
FROM celeriac-stand-in/debian
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends prometheus \
    && rm -rf /var/cache/apt/* /var/lib/apt/lists/* \
    && mkdir -p /prometheus && chown 65534:65534 /prometheus
USER 65534:65534
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["prometheus"]
