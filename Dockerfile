# Python with what Mage and this project's blocks import, as requirements.lock pins it. The project itself is mounted.
# Another base, or a later one: `docker buildx imagetools inspect python:3.11-slim-bookworm` tells its digest.
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS packages
COPY requirements.txt requirements.lock requirements-override.txt requirements-dashboard.txt /build/
WORKDIR /build
# Neither what installs (pip, uv) nor what tests: requirements.txt lists them last.
RUN python3.11 -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir $(grep ^uv== requirements.lock) \
    && python3.11 -m venv --without-pip /opt/kly \
    && sed '/^# Installs the rest/,$d' requirements.txt > runtime.txt \
    && /opt/uv/bin/uv pip install --no-cache --compile-bytecode --python /opt/kly/bin/python \
        --constraint requirements.lock --override requirements-override.txt --requirement runtime.txt \
    && /opt/uv/bin/uv pip install --no-cache --compile-bytecode --python /opt/kly/bin/python --no-deps \
        --requirement requirements-dashboard.txt

FROM ${PYTHON_IMAGE}
# Whoever owns the mounted project: what is edited in the browser belongs to the same person. Never root.
ARG MAGE_UID=1000
RUN test "$MAGE_UID" -gt 0 && useradd --uid "$MAGE_UID" --create-home --shell /usr/sbin/nologin kly && chmod 700 /home/kly
COPY --from=packages /opt/kly /opt/kly
# All that is written lies in the home: outputs of blocks, the kernel's sockets, logs.
ENV PATH=/opt/kly/bin:$PATH PYTHONPATH=/srv/kly PYTHONUNBUFFERED=1 GIT_PYTHON_REFRESH=quiet \
    MAGE_DATA_DIR=/home/kly/mage KLY_LOCAL_DIR=/home/kly/local
USER kly
WORKDIR /srv/kly
CMD ["python", "-m", "kly_mage.mage.container"]
