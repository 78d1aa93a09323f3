# The service and the relay: `serve` or `relay`, and every other command of `mastertape`.
ARG BASE_IMAGE=python:3.13-slim

FROM ${BASE_IMAGE} AS build
ARG UV_VERSION=0.13.9
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
RUN python3 -m venv /uv && /uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
WORKDIR /build
COPY requirements requirements
RUN /uv/bin/uv venv --python python3 /opt/mastertape \
    && /uv/bin/uv pip sync --python /opt/mastertape --require-hashes requirements/runtime.lock
COPY . .
RUN /uv/bin/uv build --wheel --require-hashes --build-constraints requirements/dev.lock --out-dir dist \
    && /uv/bin/uv pip install --python /opt/mastertape --no-deps dist/*.whl

FROM ${BASE_IMAGE}
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin mastertape && install -d -o 10001 /data
COPY --from=build /opt/mastertape /opt/mastertape
ENV PATH=/opt/mastertape/bin:$PATH PYTHONUNBUFFERED=1 MASTERTAPE_DATA=/data MASTERTAPE_HOST=0.0.0.0
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python3", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('MASTERTAPE_PORT', 8000)}/healthz\", timeout=4)"]
ENTRYPOINT ["mastertape"]
CMD ["serve"]
