//! The story, scene by scene. Every line that claims something was checked just before it is told.

use serde_json::Value;
use shortbread_protocol::dpop::ProofKey;

use crate::Outcome;
use crate::agent::{Agent, Credential, ISSUE, Said};
use crate::fleet::Fleet;
use crate::old_way::{SHARED_KEY, serve};
use crate::page::{passed, refused, say, scene, show, told};
use crate::stage::Stage;
use crate::{family, gone, lost, person, switch, thief};

/// What the agent asks for.
pub(crate) const SCOPE: &str = "github:files.read github:issues.read github:issues.write";

/// A token and the key that it is bound to.
pub(crate) struct Held {
    pub(crate) token: String,
    pub(crate) id: String,
    pub(crate) key: ProofKey,
}

impl Held {
    /// Of what the broker answered.
    pub(crate) fn read(answer: &Value, key: ProofKey) -> Outcome<Self> {
        let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if text("/token_type").as_deref() != Some("DPoP") {
            return Err(format!("a token that is not bound: {answer}").into());
        }
        let token = text("/access_token").ok_or("no token")?;
        Ok(Self { token, id: text("/shortbread/token_id").ok_or("no token id")?, key })
    }

    /// Whoever holds both, at the tool service.
    pub(crate) fn agent<'a>(&'a self, stage: &'a Stage) -> Agent<'a> {
        at_service(stage, Credential::Bound(&self.token, &self.key))
    }
}

/// Somebody at the tool service.
pub(crate) fn at_service<'a>(stage: &'a Stage, credential: Credential<'a>) -> Agent<'a> {
    Agent { http: &stage.http, service: &stage.tool, credential }
}

/// A refusal, checked and told.
pub(crate) fn refusal(what: &str, said: &Said, status: u16, reason: &str) -> Outcome {
    said.expect(status, reason)?;
    refused(what, said.reason());
    Ok(())
}

/// Tells everything.
pub(crate) async fn tell(stage: &Stage) -> Outcome {
    shared_key(stage).await?;
    let held = bound_token(stage).await?;
    argument_trick(stage, &held).await?;
    thief::steal(stage, &held).await?;
    family::pass_on(stage, &held).await?;
    let held = lost::ask_twice(stage).await?;
    person::ask(stage).await?;
    let fleet = Fleet::follow(stage).await?;
    switch::pull(stage, &held, &fleet).await?;
    gone::lose(stage, &held, &fleet).await
}

async fn shared_key(stage: &Stage) -> Outcome {
    scene("1. The old way: one API key that may do everything");
    let service = serve().await?;
    let agent = Agent { http: &stage.http, service: &service, credential: Credential::Shared(SHARED_KEY) };
    say("A scripted agent (no model runs here) reads an issue from the internet:");
    for line in ISSUE.lines() {
        show(&format!("| {line}"));
    }
    agent.obey().await?.expect(204, "")?;
    let left = stage.http.get(format!("{service}/repos")).send().await?.text().await?;
    say(&format!("It obeys. The repository acme/infra is gone; what is left: {left}."));
    Ok(())
}

async fn bound_token(stage: &Stage) -> Outcome<Held> {
    scene("2. The same agent with a Shortbread token");
    let key = stage.key("agent")?;
    let (workflow, agent_key) = (stage.at("workflow_key"), stage.pem("agent"));
    let ask = ["--json", "exchange", "--workflow", "demo", "--key", &workflow, "--dpop-key", &agent_key];
    let answer: Value = serde_json::from_str(&stage.shortbread(&[&ask[..], &["--scope", SCOPE]].concat())?)?;
    if answer.get("expires_in") != Some(&300.into()) || answer.get("scope") != Some(&SCOPE.into()) {
        return Err(format!("another token than the one that is told of: {answer}").into());
    }
    let held = Held::read(&answer, key)?;
    say(
        "The workflow `demo` proves who it is and gets a token for 5 minutes. It is bound to a key of the agent's: \
         each call carries a fresh proof by that key, and the tool service checks both offline. What is granted:",
    );
    show("github/issues.read");
    show("github/issues.write   in acme/web and acme/docs");
    show("github/files.read     in acme/web and acme/docs, /docs and what is below it");
    let agent = held.agent(stage);
    agent.open_issue("acme/web").await?.expect(201, "")?;
    passed("It opens an issue in acme/web", "done");
    let said = agent.obey().await?;
    refusal("It obeys the injected instruction again", &said, 403, "not_granted")?;
    told(said.words());
    let said = agent.open_issue("acme/payroll").await?;
    refusal("It opens an issue in another repository, acme/payroll", &said, 403, "argument_refused")?;
    told(said.words());
    Ok(held)
}

async fn argument_trick(stage: &Stage, held: &Held) -> Outcome {
    scene("3. A trick with an argument");
    say(
        "The policy says that the argument `path` is a path. So what counts is the file that it means, however \
         it is written; a spelling that two programs could read differently is refused:",
    );
    let agent = held.agent(stage);
    for path in ["/docs/guide.md", "/docs/old/../guide.md"] {
        agent.file(path).await?.expect(200, "")?;
        passed(path, "read");
    }
    for path in ["/docs/../secrets/prod.env", "/docs/%2e%2e/secrets/prod.env", "/docs-internal/prod.env"] {
        refusal(path, &agent.file(path).await?, 403, "argument_refused")?;
    }
    Ok(())
}

/// Where to go on playing.
pub(crate) fn encore(stage: &Stage) {
    scene("Go on playing");
    say(
        "The root key lifted the stop and the broker runs again; it and the tool service stay up until you press Ctrl-C. \
         In another terminal:",
    );
    show(&format!("export PATH={}:$PATH", stage.programs.display()));
    show(&format!("export SHORTBREAD_CONFIG={}", stage.path("data").join("client.toml").display()));
    show("shortbread revocations status --watch");
    let key = stage.at("workflow_key");
    show(&format!(
        "shortbread exchange --workflow demo --key {key} --scope github:issues.read --token > token"
    ));
    show("shortbread revoke --tool github --reason \"trying the switch\" --wait=5s");
    show(&format!("curl -H \"Authorization: Bearer $(cat token)\" {}/repos", stage.tool));
}
