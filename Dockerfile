# Rota in an image: the server, its workers and all commands. docs/operations.md, "Containers", says how to run it.
#
#   docker build -t rota .                                       the server
#   docker build -t rota-app_ws --target app --build-arg SURFACE=ws .
#   docker build --secret id=pip,src=pip.conf ...                packages from an index of your own; nothing of it stays

ARG PYTHON=3.13-slim-trixie


# Builds the environment; what it takes to build stays here.
FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/rota
COPY deploy/image/build.lock deploy/image/server.lock deploy/image/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /build/bin/pip install --require-hashes --only-binary :all: -r deploy/image/build.lock \
    && /build/bin/pip --python /opt/rota/bin/python install \
        --require-hashes --only-binary :all: -r deploy/image/server.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
COPY ui ui
RUN /build/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /build/bin/pip --python /opt/rota/bin/python install --no-index --no-deps /wheel/*.whl


# Runs the tests: make run_tests. Chromium and curl are what they need of the system.
FROM python:${PYTHON} AS tests
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium curl make nodejs procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --no-log-init --uid 10001 --create-home rota \
    && install -d -o rota -g rota /src
USER 10001:10001
WORKDIR /src
COPY --chown=10001:10001 requirements.lock Makefile ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,mode=0444 make locked
COPY --chown=10001:10001 . .
RUN make setup
ENTRYPOINT ["make"]
CMD ["test"]


# Holds Python and the environment, nothing else.
FROM python:${PYTHON} AS server
LABEL org.opencontainers.image.title="rota" \
      org.opencontainers.image.description="A durable job queue: server, workers and command line" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 rota \
    && useradd --no-log-init --uid 10001 --gid rota --home-dir /var/lib/rota --no-create-home \
        --shell /usr/sbin/nologin rota \
    && install -d -o rota -g rota -m 0700 /var/lib/rota
COPY --from=build /opt/rota /opt/rota
COPY deploy/image/rota.yaml /etc/rota/rota.yaml
ENV PATH=/opt/rota/bin:$PATH PYTHONDONTWRITEBYTECODE=1 ROTA_CONFIG=/etc/rota/rota.yaml
# The store; what runs here may write nowhere else.
VOLUME /var/lib/rota
WORKDIR /var/lib/rota
USER 10001:10001
EXPOSE 8080
# Drains: running jobs may end. Give it longer than 'grace' before it is killed (docker stop -t 40).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["rota", "health"]
ENTRYPOINT ["rota"]
CMD ["serve"]


# Stands in for one of the four programs of the parallel queue, with the file that they were shipped with.
FROM server AS app
ARG SURFACE=html_ws
COPY deploy/image/app.yaml /etc/rota/app.yaml
ENV ROTA_CONFIG=/etc/rota/app.yaml ROTA_FRONTS__PQEXEC__SURFACE=${SURFACE}


# What a build without --target gives.
FROM server AS rota
