//! The document by which clients find the broker of a tool service (RFC 9728).

use serde_json::{Value, json};
use shortbread_protocol::dpop::ALGORITHMS;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The document: `resource` is the service's audience, `issuer` the broker's public URL, `scopes` every `tool:verb` that
/// the service checks. Serve it as `application/json`, to everyone, at [`metadata_path`].
#[must_use]
pub fn protected_resource(resource: &str, issuer: &str, scopes: &[&str]) -> Value {
    json!({
        "resource": resource,
        "authorization_servers": [issuer],
        "scopes_supported": scopes,
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "authorization_details_types_supported": ["shortbread_tool_call"],
    })
}

/// The document of a service whose tokens are all bound to a key, as the policy has it: it tells clients to ask for such
/// tokens alone. The service refuses no others by it; the policy's `proof = "required"` sees to that.
#[must_use]
pub fn bound_tokens_only(mut document: Value) -> Value {
    if let Some(members) = document.as_object_mut() {
        members.insert("dpop_bound_access_tokens_required".to_owned(), Value::Bool(true));
    }
    document
}

/// The path of the document of a resource: the well-known one, with the resource's own path behind it.
#[must_use]
pub fn metadata_path(resource: &str) -> String {
    format!("{WELL_KNOWN}{}", split(resource).1)
}

/// The address of the document of a resource; `None` when the resource is no absolute URL.
#[must_use]
pub fn metadata_url(resource: &str) -> Option<String> {
    let (base, path) = split(resource);
    let whole = base.split_once("://").is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty());
    whole.then(|| format!("{base}{WELL_KNOWN}{path}"))
}

/// Scheme and host, and the path without a slash at its end.
fn split(resource: &str) -> (&str, &str) {
    let resource = resource.split(['?', '#']).next().unwrap_or_default();
    let host = resource.find("://").map_or(0, |at| at + 3);
    let path = resource.get(host..).and_then(|rest| rest.find('/')).map_or(resource.len(), |at| host + at);
    let (base, path) = resource.split_at_checked(path).unwrap_or((resource, ""));
    (base, path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_goes_before_the_path() {
        let url = |resource| metadata_url(resource).unwrap_or_default();
        let base = "https://tools.acme.example/.well-known/oauth-protected-resource";
        assert_eq!(url("https://tools.acme.example/github"), format!("{base}/github"));
        assert_eq!(url("https://tools.acme.example/"), base);
        assert_eq!(url("https://tools.acme.example"), base);
        assert_eq!(
            metadata_path("https://tools.acme.example/a/b/"),
            "/.well-known/oauth-protected-resource/a/b"
        );
        assert_eq!(metadata_url("github"), None);
    }

    #[test]
    fn the_document_names_resource_broker_and_scopes() {
        let document = protected_resource(
            "https://tools.acme.example/github",
            "https://broker.acme.example",
            &["github:x"],
        );
        assert_eq!(document["resource"], "https://tools.acme.example/github");
        assert_eq!(document["authorization_servers"], json!(["https://broker.acme.example"]));
        assert_eq!(document["scopes_supported"], json!(["github:x"]));
        assert_eq!(document["dpop_signing_alg_values_supported"], json!(["EdDSA", "Ed25519", "ES256"]));
        assert_eq!(document.get("dpop_bound_access_tokens_required"), None);
        assert_eq!(bound_tokens_only(document)["dpop_bound_access_tokens_required"], true);
    }
}
