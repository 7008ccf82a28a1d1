# Stands in for the official RabbitMQ image: its paths, its variables, and how it gives up root.
FROM celeriac-stand-in/debian
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends rabbitmq-server \
    && rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/lib/rabbitmq/.erlang.cookie
COPY rabbitmq-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENV HOME=/var/lib/rabbitmq RABBITMQ_DATA_DIR=/var/lib/rabbitmq RABBITMQ_LOGS=-
VOLUME /var/lib/rabbitmq
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
