# The images of the whole application in one process, and of both servers.
#
#     docker build --target yelb --tag yelb .
#     docker build --target yelb-appserver --tag yelb-appserver .
#     docker build --target yelb-ui --tag yelb-ui .
#
# or, for several platforms, `docker buildx bake --file docker-bake.hcl`. The database's image is yelb-db/image/Dockerfile.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian13:nonroot
# The version of the programs, as Cargo.toml has it.
ARG VERSION=0.1.0
# The commit that they are built from, if it is known.
ARG REVISION=""

# ---- the programs

FROM ${RUST_IMAGE} AS dependencies
# libcap2-bin is for `setcap`, below. libjemalloc-dev is yelb-ui's memory allocator, already compiled; on ARM, Debian's works with
# every page size.
RUN apt-get update --quiet \
    && apt-get install --quiet --yes --no-install-recommends libcap2-bin libjemalloc-dev \
    && rm --recursive --force /var/lib/apt/lists/*
WORKDIR /yelb
ENV CARGO_TERM_COLOR=never
RUN mkdir .cargo \
    && printf '[env]\nJEMALLOC_OVERRIDE = "/usr/lib/%s-linux-gnu/libjemalloc_pic.a"\n' "$(uname --machine)" > .cargo/config.toml
# `quick` is less optimised and takes half the time; docker-compose.yml has it (Cargo.toml).
ARG PROFILE=release

# First the dependencies alone, in a layer that lasts until one of them changes: the manifests, and an empty crate for each, with
# the benchmarks that manifests name. `yelb` comes first: the servers share most of what it needs, and it needs no SDK of AWS.
COPY Cargo.toml Cargo.lock ./
COPY crates/e2e/Cargo.toml crates/e2e/
COPY crates/testbed/Cargo.toml crates/testbed/
COPY crates/xtask/Cargo.toml crates/xtask/
COPY crates/yelb/Cargo.toml crates/yelb/
COPY crates/yelb-poll/Cargo.toml crates/yelb-poll/
COPY crates/yelb-resolver/Cargo.toml crates/yelb-resolver/
COPY crates/yelb-service/Cargo.toml crates/yelb-service/
COPY yelb-appserver/Cargo.toml yelb-appserver/
COPY yelb-db/Cargo.toml yelb-db/
COPY yelb-ui/Cargo.toml yelb-ui/
RUN for crate in crates/* yelb-appserver yelb-db yelb-ui; do \
        mkdir --parents $crate/src $crate/benches \
        && echo '//! Empty.' | tee $crate/src/lib.rs > $crate/src/main.rs \
        && echo 'fn main() {}' >> $crate/src/main.rs; \
    done \
    && touch yelb-db/benches/batch.rs crates/yelb-service/benches/request.rs \
    && cargo build --locked --profile "$PROFILE" --package yelb \
    && rm --recursive --force "target/$PROFILE"/.fingerprint/yelb*

FROM dependencies AS build-yelb
ARG PROFILE=release
COPY crates/yelb-poll crates/yelb-poll
COPY crates/yelb-resolver crates/yelb-resolver
COPY crates/yelb-service crates/yelb-service
COPY yelb-db yelb-db
COPY yelb-appserver yelb-appserver
COPY yelb-ui yelb-ui
COPY crates/yelb crates/yelb
ARG REVISION
RUN YELB_REVISION="$REVISION" cargo build --locked --profile "$PROFILE" --package yelb \
    && install -D "target/$PROFILE/yelb" /programs/yelb \
    # The folder of the votes, empty.
    && mkdir data

FROM dependencies AS build
ARG PROFILE=release
RUN cargo build --locked --profile "$PROFILE" --package yelb-appserver --package yelb-ui --features yelb-ui/jemalloc \
    && rm --recursive --force "target/$PROFILE"/.fingerprint/yelb*

COPY crates/yelb-poll crates/yelb-poll
COPY crates/yelb-resolver crates/yelb-resolver
COPY crates/yelb-service crates/yelb-service
COPY yelb-db yelb-db
COPY yelb-appserver yelb-appserver
ARG REVISION
# The page and its server come last, so that a change of the page compiles nothing else: here they are an empty crate still. Both
# packages are named each time, because features are those of all that are named.
RUN YELB_REVISION="$REVISION" cargo build --locked --profile "$PROFILE" --package yelb-appserver --package yelb-ui \
        --features yelb-ui/jemalloc \
    && rm --recursive --force "target/$PROFILE"/.fingerprint/yelb-ui*
COPY yelb-ui yelb-ui
RUN YELB_REVISION="$REVISION" cargo build --locked --profile "$PROFILE" --package yelb-appserver --package yelb-ui \
        --features yelb-ui/jemalloc \
    && install --directory /programs \
    && install "target/$PROFILE/yelb-ui" "target/$PROFILE/yelb-appserver" /programs \
    # Permitted, not effective: crates/yelb-service/src/privileged_port.rs says why. The app server has no low port, and glibc
    # ignores MALLOC_ARENA_MAX where a program has a capability of its file.
    && setcap cap_net_bind_service=p /programs/yelb-ui \
    # jemalloc reads its options from the target of the link /etc/malloc.conf. This one gives memory back also while yelb-ui is
    # idle. The variable MALLOC_CONF would be ignored, because the program's file has a capability.
    && mkdir /settings \
    && ln --symbolic background_thread:true /settings/malloc.conf

# ---- the images: a program each, and nothing to run besides

FROM ${RUNTIME_IMAGE} AS runtime
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Yelb in Rust" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Any other user will do, too: nothing is written.
USER 65532:65532
# Inside of a container the network decides what reaches it. One arena for all threads of yelb and yelb-appserver: with one for
# each, glibc keeps an eighth more memory for what one thread allocates and another frees. yelb-ui does not use glibc's allocator.
ENV YELB_BIND=0.0.0.0 \
    MALLOC_ARENA_MAX=1

FROM runtime AS yelb
LABEL org.opencontainers.image.title="yelb" \
      org.opencontainers.image.description="Yelb in one process: the page, its API, and the votes in a file"
COPY --from=build-yelb /programs/yelb /usr/local/bin/yelb
# The votes are in a volume: a named one keeps them, an anonymous one goes with the container of `docker run --rm`. The
# embedded store writes nowhere else, so that the root file system can be read-only.
COPY --from=build-yelb --chown=65532:65532 /yelb/data /data
VOLUME /data
ENV XDG_DATA_HOME=/data
EXPOSE 8080 4567 9464
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s CMD ["/usr/local/bin/yelb", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/yelb"]

FROM runtime AS yelb-ui
LABEL org.opencontainers.image.title="yelb-ui" \
      org.opencontainers.image.description="Yelb's page, and /api passed on to the app server"
COPY --from=build /programs/yelb-ui /usr/local/bin/yelb-ui
COPY --from=build /settings /etc
ENV PORT=80
EXPOSE 80 9465
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s CMD ["/usr/local/bin/yelb-ui", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/yelb-ui"]

FROM runtime AS yelb-appserver
LABEL org.opencontainers.image.title="yelb-appserver" \
      org.opencontainers.image.description="Yelb's API: votes, page views, stats"
COPY --from=build /programs/yelb-appserver /usr/local/bin/yelb-appserver
# As the original's image: the stores are `yelb-db` and `redis-server` unless a setting says otherwise.
ENV RACK_ENV=production
# For `sslmode=verify-full` against Amazon RDS, whose authorities are in no system's list.
COPY infra/authorities/aws-rds.pem /usr/local/share/yelb/aws-rds.pem
EXPOSE 4567 9464
HEALTHCHECK --interval=5s --timeout=2s --start-period=10s CMD ["/usr/local/bin/yelb-appserver", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/yelb-appserver"]
