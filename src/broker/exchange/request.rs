//! The form of `POST /oauth/token`, read strictly into what is asked for.

use std::time::Duration;

use shortbread_protocol::json;
use shortbread_protocol::names::{Intent, Operation, Release, Task};
use shortbread_protocol::oauth::{
    ACCESS_TOKEN, AuthorizationDetail, BISCUIT, CLIENT_ASSERTION, CLIENT_CREDENTIALS, COMPLETION_DEFERRED,
    Delegation, ID_TOKEN, JWT, JWT_BEARER, TOKEN_EXCHANGE, TOOL_CALL,
};
use shortbread_protocol::reason::Reason;

use super::exact::{self, Exact};
use super::form::{Form, malformed, shown};
use super::refusal::Refusal;
use crate::policy::Asked;

const MAX_DETAILS: usize = 16;
const MAX_SCOPES: usize = 64;

/// How the client proves who it is, which decides how a bad proof is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantType {
    /// RFC 8693.
    TokenExchange,
    /// RFC 7523, section 2.1.
    JwtBearer,
    /// RFC 6749, section 4.4, with RFC 7523, section 2.2.
    ClientCredentials,
}

/// What is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// An identity.
    Identity,
    /// A token of ours, for a sub-agent.
    Token,
}

/// A request that was read; nothing in it is believed yet. Its assertion proves an identity, so it is never shown.
pub(super) struct Request {
    /// How it came.
    pub(super) grant_type: GrantType,
    /// What the assertion is.
    pub(super) subject: Subject,
    /// SHA-256 of all that is asked for.
    pub(super) digest: [u8; 32],
    /// The identity's assertion, or the token that is passed on.
    pub(super) assertion: String,
    /// `client_id`, where the identity may be several workflows.
    pub(super) client_id: Option<String>,
    /// What is asked for.
    pub(super) asked: Vec<Asked>,
    /// `resource` and the `locations` of the details.
    pub(super) resources: Vec<String>,
    /// The declared purpose.
    pub(super) intent: Option<Intent>,
    /// The caller's task id.
    pub(super) task: Option<Task>,
    /// The version that asks.
    pub(super) release: Option<Release>,
    /// The wished life.
    pub(super) ttl: Option<Duration>,
    /// Whether the token may be narrowed and passed on.
    pub(super) delegation: Delegation,
    /// Exact calls, where they are asked for instead of verbs.
    pub(super) calls: Vec<Exact>,
    /// Whether the client waits where a person has to approve it.
    pub(super) deferred: bool,
}

/// Reads a form.
///
/// # Errors
/// Names the parameter that is missing, unknown in its value, or at odds with another.
pub(super) fn read(form: &Form) -> Result<Request, Refusal> {
    let (grant_type, subject, assertion) = proof(form)?;
    for unserved in ["actor_token", "actor_token_type"] {
        if form.one(unserved).is_some() {
            return Err(malformed(format!("{unserved} is not served")));
        }
    }
    let mut request = Request {
        grant_type,
        subject,
        digest: form.digest(),
        assertion,
        client_id: form.one("client_id").map(str::to_owned),
        asked: Vec::new(),
        resources: form.resources().to_vec(),
        intent: None,
        task: None,
        release: None,
        ttl: None,
        delegation: Delegation::default(),
        calls: Vec::new(),
        deferred: deferred(form, subject)?,
    };
    match (form.one("scope"), form.one("authorization_details")) {
        (Some(_), Some(_)) => return Err(malformed("send scope or authorization_details, not both")),
        (Some(scope), None) => by_scope(&mut request, form, scope)?,
        (None, Some(details)) => by_details(&mut request, form, details)?,
        // What is passed on says itself what it is good for.
        (None, None) if subject == Subject::Token => by_itself(&mut request, form)?,
        (None, None) => {
            return Err(malformed("send scope or authorization_details: nothing is granted by default"));
        }
    }
    Ok(request)
}

fn proof(form: &Form) -> Result<(GrantType, Subject, String), Refusal> {
    let (grant_type, subject, parameter) = match form.need("grant_type")? {
        TOKEN_EXCHANGE => {
            form.is_one_of("subject_token_type", &[JWT, ID_TOKEN, ACCESS_TOKEN, BISCUIT])?;
            let ours =
                form.one("subject_token_type").is_some_and(|kind| [ACCESS_TOKEN, BISCUIT].contains(&kind));
            let subject = if ours { Subject::Token } else { Subject::Identity };
            if form.one("requested_token_type").is_some() {
                form.is_one_of("requested_token_type", &[ACCESS_TOKEN, BISCUIT])?;
            }
            (GrantType::TokenExchange, subject, "subject_token")
        }
        JWT_BEARER => (GrantType::JwtBearer, Subject::Identity, "assertion"),
        CLIENT_CREDENTIALS => {
            form.is_one_of("client_assertion_type", &[CLIENT_ASSERTION])?;
            (GrantType::ClientCredentials, Subject::Identity, "client_assertion")
        }
        other => {
            let detail = format!("grant_type {} is not served here", shown(other));
            return Err(Refusal::new(Reason::GrantTypeUnknown, detail));
        }
    };
    let proofs = ["subject_token", "assertion", "client_assertion"];
    if let Some(second) = proofs.into_iter().find(|name| *name != parameter && form.one(name).is_some()) {
        return Err(malformed(format!("{second} does not go with this grant_type")));
    }
    Ok((grant_type, subject, form.need(parameter)?.to_owned()))
}

fn deferred(form: &Form, subject: Subject) -> Result<bool, Refusal> {
    match (form.one("completion_mode"), subject) {
        (None, _) => Ok(false),
        (Some(COMPLETION_DEFERRED), Subject::Identity) => Ok(true),
        (Some(COMPLETION_DEFERRED), Subject::Token) => {
            Err(malformed("a token that is passed on is answered at once: leave completion_mode out"))
        }
        (Some(other), _) => Err(malformed(format!(
            "completion_mode {} is not served; use {COMPLETION_DEFERRED}",
            shown(other)
        ))),
    }
}

fn by_scope(request: &mut Request, form: &Form, scope: &str) -> Result<(), Refusal> {
    let scopes: Vec<&str> = scope.split(' ').filter(|part| !part.is_empty()).collect();
    if scopes.is_empty() || scopes.len() > MAX_SCOPES {
        return Err(Refusal::new(Reason::ScopeUnknown, "scope names 1 to 64 verbs as tool:verb"));
    }
    for part in scopes {
        let operation =
            Operation::from_scope(part).map_err(|e| Refusal::new(Reason::ScopeUnknown, e.to_string()))?;
        request.asked.push(Asked { operation, arguments: None });
    }
    by_itself(request, form)
}

fn by_itself(request: &mut Request, form: &Form) -> Result<(), Refusal> {
    request.intent = form.parsed("intent")?;
    request.task = form.parsed("task")?;
    request.release = form.parsed("release")?;
    request.ttl = form.parsed::<u32>("ttl")?.map(|seconds| Duration::from_secs(seconds.into()));
    match form.one("delegation") {
        None | Some("attenuate") => {}
        Some("none") => request.delegation = Delegation::None,
        Some(_) => return Err(malformed("delegation is none or attenuate")),
    }
    Ok(())
}

fn by_details(request: &mut Request, form: &Form, details: &str) -> Result<(), Refusal> {
    let beside = ["intent", "task", "ttl", "release", "delegation"];
    if let Some(name) = beside.into_iter().find(|name| form.one(name).is_some()) {
        return Err(malformed(format!(
            "with authorization_details, {name} is a member of each element, not a parameter"
        )));
    }
    let details: Vec<AuthorizationDetail> = json::read_as(details.as_bytes()).map_err(|e| {
        // An unknown member is named, and may be long.
        let error: String = e.to_string().chars().take(300).collect();
        malformed(format!("authorization_details: {error}")).details()
    })?;
    let Some(first) = details.first() else {
        return Err(malformed("authorization_details is empty").details());
    };
    if details.len() > MAX_DETAILS {
        return Err(malformed("authorization_details has more than 16 elements").details());
    }
    for detail in &details {
        check_detail(detail, first)?;
        request.resources.extend(detail.locations.iter().cloned());
        exact::read(detail, &mut request.calls)?;
        for verb in &detail.actions {
            let operation = Operation { tool: detail.tool.clone(), verb: verb.clone() };
            request.asked.push(Asked { operation, arguments: detail.constraints.get(verb).cloned() });
        }
    }
    request.asked.extend(request.calls.iter().map(Exact::asked));
    if request.asked.len() > MAX_SCOPES {
        return Err(malformed("authorization_details names more than 64 verbs").details());
    }
    request.intent = first.intent.clone();
    request.task = first.task.clone();
    request.release = first.release.clone();
    request.ttl = first.ttl.map(|seconds| Duration::from_secs(seconds.into()));
    request.delegation = first.delegation.unwrap_or_default();
    if !request.calls.is_empty() {
        request.delegation = Delegation::None;
    }
    Ok(())
}

fn check_detail(detail: &AuthorizationDetail, first: &AuthorizationDetail) -> Result<(), Refusal> {
    let wrong = if detail.kind != TOOL_CALL {
        format!("type {} is not served; use {TOOL_CALL}", shown(&detail.kind))
    } else if exact::is_of(detail) != exact::is_of(first) {
        "exact calls and verbs are asked for apart, in requests of their own".to_owned()
    } else if exact::is_of(detail) {
        return exact::check(detail, first);
    } else if !detail.alternatives.is_empty() {
        "alternatives stand in answers only".to_owned()
    } else if detail.actions.is_empty() {
        format!("actions of {} is empty", detail.tool)
    } else if let Some(verb) = detail.constraints.keys().find(|verb| !detail.actions.contains(verb)) {
        format!("constraints name {verb}, which is not among the actions")
    } else if (&detail.intent, &detail.task, &detail.release, detail.ttl, detail.delegation)
        != (&first.intent, &first.task, &first.release, first.ttl, first.delegation)
    {
        "intent, task, release, ttl and delegation must be equal in all elements".to_owned()
    } else {
        return Ok(());
    };
    Err(malformed(format!("authorization_details: {wrong}")).details())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Request, Refusal> {
        super::read(&Form::read(body)?)
    }

    fn refused(body: &str) -> String {
        read(body.as_bytes()).err().unwrap().detail
    }

    const BASE: &str = "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=a.b.c";

    #[test]
    fn a_scope_request_is_read() {
        let request =
            read(format!("{BASE}&scope=github:issues.read&ttl=60&intent=triage&unknown=1").as_bytes())
                .unwrap();
        assert_eq!(request.asked.len(), 1);
        assert_eq!(request.ttl, Some(Duration::from_secs(60)));
        assert_eq!(request.grant_type, GrantType::ClientCredentials);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refused("").contains("grant_type is missing"));
        assert!(refused("grant_type=password").contains("\"password\" is not served"));
        assert!(refused(BASE).contains("nothing is granted by default"));
        assert!(refused(&format!("{BASE}&scope=a:b&scope=a:c")).contains("\"scope\" is given twice"));
        assert!(refused(&format!("{BASE}&scope=a:b&ttl=-1")).contains("parameter ttl"));
        assert!(refused(&format!("{BASE}&scope=github")).contains("tool:verb"));
        assert!(refused(&format!("{BASE}&scope=a:b&subject_token=x")).contains("subject_token does not go"));
        assert!(refused(&format!("{BASE}&scope=a:b&actor_token=x")).contains("actor_token is not served"));
        assert!(refused(&format!("{BASE}&scope=a:b&authorization_details=[]")).contains("not both"));
        assert!(read(b"grant_type=\xff\xfe").err().unwrap().detail.contains("UTF-8"));
    }

    #[test]
    fn exact_calls_are_read_strictly() {
        let read = |details: &str| read(format!("{BASE}&authorization_details={details}").as_bytes());
        let detail = |more: &str| format!(r#"[{{"type":"shortbread_tool_call","tool":"pay",{more}}}]"#);
        let call = r#"{"verb":"refund","args":{"amount":5,"note":"x"}}"#;
        let one = read(&detail(&format!(r#""call":{call}"#))).unwrap();
        assert_eq!((one.calls.len(), one.asked.len(), one.delegation), (1, 1, Delegation::None));
        let two = read(&detail(&format!(r#""calls":[{call},{call}]"#))).unwrap();
        assert_eq!(two.calls.iter().map(|call| call.place).collect::<Vec<_>>(), [0, 1]);
        let refused = |more: &str| read(&detail(more)).err().unwrap().detail;
        assert!(refused(r#""calls":[]"#).contains("calls is empty"));
        assert!(refused(&format!(r#""call":{call},"calls":[{call}]"#)).contains("call or calls"));
        assert!(refused(&format!(r#""call":{call},"actions":["other"]"#)).contains("actions"));
        assert!(
            refused(&format!(r#""call":{call},"constraints":{{"refund":{{}}}}"#)).contains("constraints")
        );
        assert!(refused(&format!(r#""call":{call},"delegation":"attenuate""#)).contains("sealed"));
        assert!(refused(r#""call":{"verb":"refund","args":{"amount":1.5}}"#).contains("integer"));
        assert!(refused(r#""call":{"verb":"refund","args":{"a":1,"a":2}}"#).contains("twice"));
        let many = vec![call; 33].join(",");
        assert!(refused(&format!(r#""calls":[{many}]"#)).contains("32"));
        let mixed = format!(
            r#"[{{"type":"shortbread_tool_call","tool":"pay","call":{call}}},{{"type":"shortbread_tool_call","tool":"pay","actions":["refund"]}}]"#
        );
        assert!(read(&mixed).err().unwrap().detail.contains("apart"));
    }

    #[test]
    fn a_request_says_whether_it_waits() {
        let read = |mode: &str| read(format!("{BASE}&scope=a:b{mode}").as_bytes());
        assert!(!read("").unwrap().deferred);
        assert!(read("&completion_mode=deferred").unwrap().deferred);
        assert!(read("&completion_mode=later").err().unwrap().detail.contains("use deferred"));
    }

    #[test]
    fn details_are_read_strictly() {
        let refused = |details: &str| refused(&format!("{BASE}&authorization_details={details}"));
        let detail = r#"{"type":"shortbread_tool_call","tool":"github","actions":["issues.read"]}"#;
        assert!(read(format!("{BASE}&authorization_details=[{detail}]").as_bytes()).is_ok());
        assert!(refused("[]").contains("empty"));
        assert!(refused("[{}]").contains("missing field"));
        assert!(refused(&format!("[{}]", detail.replace("\"tool\"", "\"color\""))).contains("unknown field"));
        assert!(refused(&format!("[{}]", detail.replace("}", ",\"tool\":\"x\"}"))).contains("twice"));
        assert!(refused(&format!("[{}]", detail.replace("tool_call", "other"))).contains("is not served"));
        assert!(
            refused(&format!("[{}]", detail.replace("}", ",\"constraints\":{\"x\":{}}}")))
                .contains("not among")
        );
        assert!(refused(&"[".repeat(5000)).contains("authorization_details"));
        let other = detail.replace("}", ",\"ttl\":5}");
        assert!(refused(&format!("[{detail},{other}]")).contains("must be equal"));
    }
}
