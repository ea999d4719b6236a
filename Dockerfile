# Two stages: pip and the sources stay in the first.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/statekeeper
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY lifecycle lifecycle
COPY projections projections
COPY api api
RUN /opt/statekeeper/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/statekeeper statekeeper
COPY --from=build /opt/statekeeper /opt/statekeeper
COPY definitions /etc/statekeeper/definitions
ENV PATH=/opt/statekeeper/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    STATEKEEPER_DATABASE=sqlite:////var/lib/statekeeper/statekeeper.db \
    STATEKEEPER_DEFINITIONS=/etc/statekeeper/definitions \
    STATEKEEPER_HOST=0.0.0.0 \
    STATEKEEPER_PORT=8000
USER statekeeper
WORKDIR /var/lib/statekeeper
VOLUME /var/lib/statekeeper
EXPOSE 8000
# An answer that is not 2xx raises, and the container counts as unhealthy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"STATEKEEPER_PORT\"]}/health/ready', timeout=4)"]
ENTRYPOINT ["statekeeper"]
CMD ["serve"]
