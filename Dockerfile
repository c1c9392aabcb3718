# Build: docker build -t shortbread .
# Run:   docker run --read-only -p 8700:8700 -v shortbread:/var/lib/shortbread shortbread
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p shortbread

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/shortbread --create-home shortbread
COPY --from=build /src/target/release/shortbread /usr/local/bin/shortbread
USER 10001
# Configuration, keys and the store live in the volume; the root file system may be read-only.
WORKDIR /var/lib/shortbread
VOLUME /var/lib/shortbread
EXPOSE 8700
ENTRYPOINT ["shortbread"]
CMD ["serve", "--config", "/var/lib/shortbread/broker.toml"]
