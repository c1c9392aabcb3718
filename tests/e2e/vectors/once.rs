//! A token of one exact call, beside verbs that are good for as long as it lives.

use shortbread_broker::mint::Once;

use super::*;

pub(super) fn cases(all: &mut Cases, random: &SeededRandom) {
    let rights = rights();
    let verbs = ["github/repo.delete".parse().expect("an operation")];
    let approved = json!({ "repo": "acme/old" });
    let hash = Args::from_json(approved.to_string().as_bytes()).expect("arguments").digest();
    let minting = Minting {
        issuer: ISSUER,
        principal: &Principal::Workflow("release-notes".parse().expect("a name")),
        intent: &Intent::undeclared(),
        task: &"tsk_1".parse().expect("a task"),
        token: "tok_1",
        holder: None,
        approval: Some("apr_1"),
        once: Some(Once { verbs: &verbs, args_sha256: hash }),
        issued: ISSUED,
        expires: ISSUED + 600,
        rights: &rights,
        audiences: &[("github".to_owned(), AUDIENCE.to_owned())],
        sealed: true,
    };
    all.token = mint(&minting, &signer(), random).expect("a token");
    let (hash, other) = (json!(hash.map(hex)), json!(hex([1; 32])));
    all.call("a verb beside the approved call", "issues.read", json!({}), "allow")
        .call("the approved call: its use was not claimed", "repo.delete", approved, "deny")
        .but("the approved call", &[("unused", json!("tok_1")), ("args_sha256", hash)], "allow")
        .but("the approved call: another token's use", &[("unused", json!("tok_2"))], "deny")
        .but(
            "the approved call: other arguments",
            &[("unused", json!("tok_1")), ("args_sha256", other)],
            "deny",
        );
}

fn hex(bytes: [u8; 32]) -> String {
    crate::uploaded::hex(&bytes)
}
