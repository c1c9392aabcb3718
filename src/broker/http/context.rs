//! What is known of every request: its trace, its decision, the client's address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use shortbread_protocol::event::{read_parent, read_traceparent};

use super::{App, failure};
use crate::config::AddressRange;
use crate::exchange::Context;

/// Begins the decision, lets the request through, and ties the answer to it.
pub(super) async fn attach(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let address = client(peer, request.headers(), &app.broker.config.network.trusted_proxies);
    let caller = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    let Ok(mut decision) = app.broker.decision(caller.and_then(read_traceparent)) else {
        return failure::no_randomness();
    };
    decision.parent = caller.and_then(read_parent);
    let begun = app.broker.clock.monotonic();
    request.extensions_mut().insert(Context { decision: decision.clone(), address, begun });
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [("traceparent", decision.traceparent()), ("shortbread-decision-id", decision.id)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// The client's address: the peer, or, behind trusted proxies, the last address in `X-Forwarded-For` that is not one.
fn client(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[AddressRange]) -> IpAddr {
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).to_canonical();
    let trust = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    if !trust(peer) {
        return peer;
    }
    let values = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        let Ok(address) = hop.parse::<IpAddr>() else {
            return client;
        };
        client = address.to_canonical();
        if !trust(client) {
            return client;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, forwarded: &str, trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        let trusted: Vec<AddressRange> = trusted.iter().map(|range| range.parse().unwrap()).collect();
        client(peer.parse().ok(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(from("9.9.9.9", "1.1.1.1", &[]), "9.9.9.9");
        assert_eq!(from("10.0.0.1", "1.1.1.1", &["10.0.0.0/8"]), "1.1.1.1");
        assert_eq!(from("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", &["10.0.0.0/8"]), "1.1.1.1");
        assert_eq!(from("10.0.0.1", "1.1.1.1, nonsense", &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(from("10.0.0.1", "", &["10.0.0.0/8"]), "10.0.0.1");
    }
}
