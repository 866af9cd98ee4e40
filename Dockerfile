# syntax=docker/dockerfile:1
# An image like that of `cargo xtask image`, but with Debian's certificate authorities: one static program without
# privileges, and no shell.
#
#   docker build --tag REGISTRY/arcadia-operator:0.1.0 .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges REGISTRY/arcadia-operator:0.1.0 --help

FROM rust:1.95.0-bookworm AS build
# The toolchain of the image, without the components that rust-toolchain.toml adds for development.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /source
RUN apt-get update && apt-get install --yes --no-install-recommends musl-tools && \
    rustup target add "$(uname -m)-unknown-linux-musl" && mkdir --mode=0755 /out
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    target="$(uname -m)-unknown-linux-musl" && name="$(echo "$target" | tr - _)" && \
    env "CC_$name=musl-gcc" \
      cargo build --release --locked --package arcadia-operator --bin arcadia-operator --no-default-features --features jemalloc --target "$target" && \
    install --mode=0555 "target/$target/release/arcadia-operator" /out/arcadia-operator

FROM scratch
COPY --from=build /out/arcadia-operator /arcadia-operator
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532
WORKDIR /
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/arcadia-operator"]
