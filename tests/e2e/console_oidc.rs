//! Operators sign in to the console by a real identity provider, and nobody else does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_broker::identity::{Fetch, FetchError, Fetched, Form, HttpFetch};
use shortbread_broker::sessions::{Means, Session, SignIn};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::{POLICY, Page, Provider, Visitor, World};

/// How a fetch ends.
type Fetching<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, FetchError>> + Send + 'a>>;

const COOKIE: &str = "shortbread_oidc";

/// A broker whose console knows a provider, under a client id there.
struct Acme {
    world: World,
    provider: Provider,
}

fn policy(place: &str) -> String {
    let entry = |operators: &str, audience: &str| {
        format!(
            "[[identities]]\noperators = {operators}\nissuer = \"{place}\"\nallow_private = true\n\
             audience = \"{audience}\"\ngroup = \"sre-oncall\"\n"
        )
    };
    let all = ["shortbread-console", "shortbread-public"].map(|client| entry("[\"bob\", \"carol\"]", client));
    let grant = "[[grants]]\noperator = \"bob\"\ntool = \"shortbread\"\nverbs = [\"approvals.*\", \"revocations.read\"]\n";
    format!("{POLICY}{}{grant}", all.concat())
}

impl Acme {
    async fn start(client: &str) -> Self {
        Self::start_with(client, Arc::new(HttpFetch::new().unwrap())).await
    }

    async fn start_with(client: &str, fetch: Arc<dyn Fetch>) -> Self {
        let place = Provider::place();
        let secret = "client_secret_file = \"console.secret\"\n";
        let secret = if client == "shortbread-console" { secret } else { "" };
        let config = format!(
            "[console.oidc]\nissuer = \"{place}\"\nclient_id = \"{client}\"\nname = \"Acme\"\n{secret}\
             [limits]\nfailures_per_minute = 100000\nadmin_per_second = 100000\n"
        );
        let world = World::builder().policy(&policy(&place)).config(&config).fetch(fetch);
        let world = world.file("console.secret", Provider::SECRET).start().await;
        let provider = Provider::start(&place, &world.issuer, Some(world.clock.now()));
        Self { world, provider }
    }

    fn host(&self) -> &str {
        self.world.issuer.strip_prefix("http://").unwrap()
    }

    fn callback(&self) -> String {
        format!("{}/console/oidc/callback", self.world.issuer)
    }

    fn begin(&self, to: &str) -> String {
        format!("{}/console/oidc?to={to}", self.world.issuer)
    }

    /// As far as the provider leads: the URL with the code, not opened yet.
    async fn answered(&self, visitor: &mut Visitor, name: &str) -> String {
        visitor.sign_in(&self.begin("/console/approvals"), name, &self.callback()).await.into()
    }

    async fn finish(&self, visitor: &mut Visitor, url: &str) -> Page {
        visitor.open(url, "nowhere:").await
    }

    fn sessions(&self) -> Vec<Session> {
        self.world.broker.sessions.all(self.world.clock.now())
    }

    /// What the browser keeps while its person is away, as JSON.
    fn kept(&self, visitor: &Visitor) -> Value {
        let cookie = visitor.cookie(self.host(), COOKIE).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cookie).unwrap()).unwrap()
    }

    fn keep(&self, visitor: &mut Visitor, kept: &Value) {
        visitor.keep(self.host(), COOKIE, &URL_SAFE_NO_PAD.encode(kept.to_string()));
    }

    #[track_caller]
    fn is_refused(&self, page: &Page, status: u16, reason: &str) {
        assert_eq!(page.status, status, "{page:?}");
        assert!(page.text.contains(reason), "{reason}: {page:?}");
        assert!(self.sessions().is_empty());
    }
}

#[tokio::test]
async fn whoever_is_in_the_group_becomes_the_operator() {
    for client in ["shortbread-console", "shortbread-public"] {
        let acme = Acme::start(client).await;
        let mut bob = Visitor::new();
        let ways = bob
            .open(&format!("{}/console/sign-in?to=/console/approvals", acme.world.issuer), "nowhere:")
            .await;
        assert!(ways.text.contains("Sign in with Acme"), "{ways:?}");
        assert!(ways.text.contains("href=\"/console/oidc?to=%2Fconsole%2Fapprovals\""), "{ways:?}");
        let back = acme.answered(&mut bob, "bob").await;
        assert!(back.contains("code=") && back.contains("iss="));
        let landed = acme.finish(&mut bob, &back).await;
        // The session's cookie is not sent with what another site began, so that this page leads on by itself.
        assert_eq!(landed.status, 200);
        assert!(
            landed.text.contains("http-equiv=\"refresh\" content=\"0; url=/console/approvals\""),
            "{landed:?}"
        );
        assert_eq!(bob.cookie(acme.host(), COOKIE), None, "what was kept meanwhile is gone");
        let page = bob.open(&format!("{}/console/approvals", acme.world.issuer), "nowhere:").await;
        assert!(page.status == 200 && page.text.contains(">bob</a>"), "{page:?}");
        let sessions = acme.sessions();
        let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
        assert_eq!((session.who.operator.as_str(), session.who.means), ("bob", Means::Oidc));
        let now = acme.world.clock.now();
        assert!(session.who.at <= now && now.since(session.who.at) < Duration::from_secs(30));
        let marks = |start: &str| session.who.marks.iter().filter(|mark| mark.starts_with(start)).count();
        assert_eq!(
            (marks("identity:"), marks("key:")),
            (1, 1),
            "the identity, and the key that the policy has of bob"
        );
    }
}

#[tokio::test]
async fn nobody_else_becomes_an_operator_in_the_console() {
    let acme = Acme::start("shortbread-console").await;
    // carol is listed and outside of the group, alice and dave are inside and not listed, mallory is neither.
    for name in ["carol", "alice", "dave", "mallory"] {
        let mut visitor = Visitor::new();
        let back = acme.answered(&mut visitor, name).await;
        let page = acme.finish(&mut visitor, &back).await;
        acme.is_refused(&page, 403, "identity.unmatched");
        assert!(!page.text.contains("sre-oncall"), "{page:?}");
    }
    // Strangers' refusals are counted: the first of them stands for those of the minute.
    let entries = acme.world.admin_read("audit.read", "/api/v1/audit?limit=100").await;
    let said = entries.body.to_string();
    assert_eq!(said.matches("matches exactly once").count(), 2, "detail and cause of one entry: {said}");
    let mut visitor = Visitor::new();
    let form = visitor.open(&acme.begin("/console"), &acme.callback()).await;
    let wrong = visitor.submit(&form.url, &[("name", "bob"), ("password", "guess")], &acme.callback()).await;
    assert!(wrong.text.contains("Wrong name or password"));
    let back = visitor.submit(&form.url, &[("cancel", "1")], &acme.callback()).await;
    assert!(back.url.as_str().contains("error=access_denied"));
    let page = acme.finish(&mut visitor, back.url.as_str()).await;
    acme.is_refused(&page, 403, "did not sign you in");
}

#[tokio::test]
async fn an_answer_is_good_once_and_in_the_browser_that_asked_for_it_in_the_console() {
    let acme = Acme::start("shortbread-console").await;
    let (mut bob, mut other) = (Visitor::new(), Visitor::new());
    let back = acme.answered(&mut bob, "bob").await;
    let kept = acme.kept(&bob);
    // A victim who follows a link with somebody else's answer, with no sign-in of their own and with one.
    acme.is_refused(&acme.finish(&mut other, &back).await, 403, "no sign-in that this browser began");
    other.open(&acme.begin("/console"), &acme.callback()).await;
    acme.is_refused(&acme.finish(&mut other, &back).await, 403, "no sign-in that this browser began");
    let state = kept["state"].as_str().unwrap();
    for wrong in [
        back.replace(state, &state.chars().rev().collect::<String>()),
        back.replace("&iss=", "&was="),
        back.replace("&iss=", "&iss=x"),
        format!("{back}&state={state}"),
        format!("{back}&code=x"),
        format!("{back}&error=access_denied"),
    ] {
        acme.keep(&mut bob, &kept);
        acme.is_refused(&acme.finish(&mut bob, &wrong).await, 403, "identity.invalid");
    }
    // The right answer still works after all that, and then never again.
    acme.keep(&mut bob, &kept);
    assert_eq!(acme.finish(&mut bob, &back).await.status, 200);
    assert_eq!(acme.sessions().len(), 1);
    acme.keep(&mut bob, &kept);
    let again = acme.finish(&mut bob, &back).await;
    assert!(again.status == 403 && again.text.contains("identity.invalid"), "{again:?}");
    assert_eq!(acme.sessions().len(), 1);
}

#[tokio::test]
async fn a_code_with_another_verifier_nonce_or_none_is_refused_in_the_console() {
    let acme = Acme::start("shortbread-public").await;
    for part in ["verifier", "nonce"] {
        let mut bob = Visitor::new();
        let back = acme.answered(&mut bob, "bob").await;
        let mut kept = acme.kept(&bob);
        kept[part] = json!("A".repeat(43));
        acme.keep(&mut bob, &kept);
        acme.is_refused(&acme.finish(&mut bob, &back).await, 403, "identity.invalid");
    }
    // Whoever stole a code has no verifier.
    let mut bob = Visitor::new();
    let back = acme.answered(&mut bob, "bob").await;
    let code = back.split("code=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
    let callback = acme.callback().replace(':', "%3A").replace('/', "%2F");
    let body = format!(
        "grant_type=authorization_code&client_id=shortbread-public&redirect_uri={callback}&code={code}"
    );
    let request = acme.world.http.post(format!("{}/token", acme.provider.url));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    assert_eq!(request.send().await.unwrap().status().as_u16(), 400);
    // The provider insists on PKCE, so that the test above proves that ours uses it.
    let mut url = String::new();
    let asked = acme.world.http.get(acme.begin("/console")).send().await.unwrap();
    url.push_str(asked.headers()["location"].to_str().unwrap());
    assert!(url.contains("code_challenge_method=S256") && url.contains("max_age=900"), "{url}");
    let kept = asked.headers()["set-cookie"].to_str().unwrap();
    assert!(kept.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"), "{kept}");
}

#[tokio::test]
async fn whoever_is_signed_in_to_the_console_signs_in_anew_for_what_wants_it_fresh() {
    let acme = Acme::start("shortbread-console").await;
    let mut bob = Visitor::new();
    let back = acme.answered(&mut bob, "bob").await;
    acme.finish(&mut bob, &back).await;
    let first = acme.sessions().remove(0);
    // The provider knows bob and would let him through; with a session of ours it has to ask.
    let back = acme.answered(&mut bob, "bob").await;
    assert_eq!(acme.finish(&mut bob, &back).await.status, 200);
    let sessions = acme.sessions();
    assert!(
        sessions.len() == 1 && sessions[0].id != first.id,
        "one took the place of the other: {sessions:?}"
    );
    // A browser without a session of ours, whom the provider knows, needs no password.
    bob.keep(acme.host(), "shortbread_console", "gone");
    let through = bob.open(&acme.begin("/console"), &acme.callback()).await;
    assert!(through.url.as_str().contains("code="), "{through:?}");
    // A session of somebody else's is not bob's to replace, whatever his browser keeps.
    let now = acme.world.clock.now();
    let alice = SignIn { operator: "alice".parse().unwrap(), at: now, ..first.who };
    let alice = acme.world.broker.sessions.begin(alice, None, now, &SystemRandom).unwrap().session.id;
    let mut kept = acme.kept(&bob);
    kept["replaces"] = json!(alice);
    acme.keep(&mut bob, &kept);
    assert_eq!(acme.finish(&mut bob, through.url.as_str()).await.status, 200);
    assert!(acme.sessions().iter().any(|session| session.id == alice));
}

#[tokio::test]
async fn a_console_whose_provider_is_down_says_so_and_lets_links_in() {
    let mut acme = Acme::start("shortbread-console").await;
    let mut bob = Visitor::new();
    let back = acme.answered(&mut bob, "bob").await;
    acme.provider.stop();
    acme.is_refused(&acme.finish(&mut bob, &back).await, 503, "identity.issuer_unavailable");
    // What it says of itself is known for five minutes, and asked anew then.
    acme.world.clock.advance(Duration::from_secs(3600));
    let fresh = Acme { world: acme.world.restart().await, provider: acme.provider };
    let page = Visitor::new().open(&fresh.begin("/console"), "nowhere:").await;
    fresh.is_refused(&page, 503, "shortbread console");
    let ways = Visitor::new().open(&format!("{}/console/sign-in", fresh.world.issuer), "nowhere:").await;
    assert!(ways.status == 200 && ways.text.contains("shortbread console"));
}

#[tokio::test]
async fn a_console_without_a_provider_has_no_button_for_one() {
    let world = World::start().await;
    let mut visitor = Visitor::new();
    let ways = visitor.open(&format!("{}/console/sign-in", world.issuer), "nowhere:").await;
    assert!(ways.status == 200 && !ways.text.contains("Sign in with"), "{ways:?}");
    for path in ["/console/oidc", "/console/oidc/callback?code=x&state=y"] {
        assert_eq!(visitor.open(&format!("{}{path}", world.issuer), "nowhere:").await.status, 404);
    }
}

#[tokio::test]
async fn a_session_of_the_console_ends_when_the_policy_has_its_operator_there_no_more() {
    let acme = Acme::start("shortbread-console").await;
    let mut bob = Visitor::new();
    let back = acme.answered(&mut bob, "bob").await;
    acme.finish(&mut bob, &back).await;
    let approvals = format!("{}/console/approvals", acme.world.issuer);
    assert_eq!(bob.open(&approvals, "nowhere:").await.status, 200);
    // bob stays an operator, by his key alone.
    let without = policy(&acme.provider.url).replace("[\"bob\", \"carol\"]", "[\"carol\"]");
    std::fs::write(acme.world.path("policy.toml"), without).unwrap();
    let (path, body) = ("/api/v1/policy/activate", json!({}));
    let activate = |name: &'static str| acme.world.admin_as(name, "policy.activate", path, &body);
    assert_eq!(
        activate("alice").await.reason(),
        "admin.second_operator",
        "who may sign in takes two to change"
    );
    assert_eq!(activate("bob").await.status, 200);
    assert_eq!(bob.open(&approvals, "nowhere:").await.status, 401);
    assert!(acme.sessions().is_empty());
}

/// A network in which the token endpoint's answer can be another one.
struct Swapped {
    network: HttpFetch,
    seen: Mutex<Option<Vec<u8>>>,
    answer: Mutex<Option<Vec<u8>>>,
}

impl Fetch for Swapped {
    fn fetch<'a>(&'a self, url: &'a str, allow_private: bool) -> Fetching<'a, Fetched> {
        self.network.fetch(url, allow_private)
    }

    fn post<'a>(&'a self, form: Form<'a>) -> Fetching<'a, zeroize::Zeroizing<Vec<u8>>> {
        Box::pin(async move {
            let real = self.network.post(form).await?;
            *self.seen.lock().unwrap() = Some(real.to_vec());
            Ok(self.answer.lock().unwrap().clone().map_or(real, Into::into))
        })
    }
}

#[tokio::test]
async fn a_token_for_another_client_or_sign_in_opens_no_console() {
    let network =
        Swapped { network: HttpFetch::new().unwrap(), seen: Mutex::default(), answer: Mutex::default() };
    let network = Arc::new(network);
    let acme = Acme::start_with("shortbread-public", network.clone()).await;
    let mut bob = Visitor::new();
    let back = acme.answered(&mut bob, "bob").await;
    assert_eq!(acme.finish(&mut bob, &back).await.status, 200);
    let stolen = network.seen.lock().unwrap().take();
    let _ = acme.world.broker.sessions.end(&acme.sessions()[0].id);
    // bob's token of another sign-in, in an answer to mallory's.
    network.answer.lock().unwrap().clone_from(&stolen);
    let mut mallory = Visitor::new();
    let back = acme.answered(&mut mallory, "mallory").await;
    acme.is_refused(&acme.finish(&mut mallory, &back).await, 403, "identity.invalid");
    // bob's token for another app, which his own sign-in is answered with.
    *network.answer.lock().unwrap() = Some(other_app(&acme).await);
    let mut bob = Visitor::new();
    let back = acme.answered(&mut bob, "bob").await;
    acme.is_refused(&acme.finish(&mut bob, &back).await, 403, "identity.invalid");
    // Nothing of that stays.
    network.answer.lock().unwrap().take();
    let mut bob = Visitor::new();
    let back = acme.answered(&mut bob, "bob").await;
    assert_eq!(acme.finish(&mut bob, &back).await.status, 200);
}

/// An answer of the token endpoint to another app, for bob.
async fn other_app(acme: &Acme) -> Vec<u8> {
    let verifier = "A".repeat(43);
    let challenge = URL_SAFE_NO_PAD.encode(<sha2::Sha256 as sha2::Digest>::digest(&verifier));
    let callback = acme.callback().replace(':', "%3A").replace('/', "%2F");
    let url = format!(
        "{}/auth?response_type=code&client_id=another-app&redirect_uri={callback}&scope=openid%20profile%20groups&state=s&\
         nonce=n&max_age=900&code_challenge_method=S256&code_challenge={challenge}",
        acme.provider.url
    );
    let back: String = Visitor::new().sign_in(&url, "bob", &acme.callback()).await.into();
    let code = back.split("code=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
    let body = format!(
        "grant_type=authorization_code&client_id=another-app&redirect_uri={callback}&code={code}&code_verifier={verifier}"
    );
    let request = acme.world.http.post(format!("{}/token", acme.provider.url));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    answer.bytes().await.unwrap().to_vec()
}
