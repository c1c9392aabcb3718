//! `operators` with `group`: whoever a provider has in a group is one of the operators that the entry lists.

use std::ops::Range;

use toml::Spanned;

use super::super::model::{Identity, Membership};
use super::super::source::IdentitySource;
use super::proof::{ALWAYS_CHECKED, stray};
use super::{Check, list};

/// The membership that an entry demands, if it is of operators in a group.
pub(super) fn compile(check: &mut Check<'_>, source: &IdentitySource) -> Option<Option<Membership>> {
    match (&source.operators, &source.group) {
        (Some(_), Some(group)) => membership(check, source, group).map(Some),
        (Some(operators), None) => {
            let message = "operators without a group: nothing says who is one of them";
            let fix = "add group = \"NAME\", one of the token's groups; or an entry with operator for each";
            check.problem(operators.span(), message, fix);
            None
        }
        (None, _) => {
            let found = [
                ("group", source.group.as_ref().map(Spanned::span)),
                ("groups_claim", source.groups_claim.as_ref().map(Spanned::span)),
                ("named_by", source.named_by.as_ref().map(Spanned::span)),
            ];
            let alone = found.iter().all(|(_, at)| at.is_none());
            let fix = "list who may be one of the group: operators = [\"NAME\"]; or demand claims instead";
            stray(check, found, "anything but operators", fix);
            alone.then_some(None)
        }
    }
}

/// Names what means nothing where no issuer's token is the proof.
pub(super) fn only_issuer(check: &mut Check<'_>, source: &IdentitySource, beside: &str) {
    let found = [
        ("operators", source.operators.as_ref().map(Spanned::span)),
        ("group", source.group.as_ref().map(Spanned::span)),
        ("groups_claim", source.groups_claim.as_ref().map(Spanned::span)),
        ("named_by", source.named_by.as_ref().map(Spanned::span)),
    ];
    stray(
        check,
        found,
        beside,
        "make an entry with operator for each; groups are those of an issuer's token",
    );
}

/// Two entries of one issuer and audience that list the same operator.
pub(super) fn compare(check: &mut Check<'_>, at: &Range<usize>, new: &Identity, old: &Identity) {
    let both: Vec<&str> =
        new.principals.iter().filter(|one| old.principals.contains(one)).map(|one| one.name()).collect();
    if !both.is_empty() {
        let message = format!(
            "{} and {} are of one issuer and audience and both list {}, so whoever is in both groups would match two entries",
            new.entry,
            old.entry,
            list(&both)
        );
        check.problem(at.clone(), message, "list each operator in one of them alone");
    }
}

fn membership(check: &mut Check<'_>, source: &IdentitySource, group: &Spanned<String>) -> Option<Membership> {
    if let Some(reuse) = &source.reuse {
        let message = "reuse is for tokens that a platform hands out again; a person signs in anew";
        check.problem(reuse.span(), message, "take it out");
    }
    let groups_claim = claim(check, source.groups_claim.as_ref(), "groups");
    let named_by = claim(check, source.named_by.as_ref(), "preferred_username");
    if group.get_ref().is_empty() {
        check.problem(group.span(), "group is empty", "write one of the provider's groups, as its tokens do");
        return None;
    }
    let (groups_claim, named_by) = (groups_claim?, named_by?);
    if groups_claim == named_by {
        let at =
            source.named_by.as_ref().or(source.groups_claim.as_ref()).map_or(group.span(), Spanned::span);
        let message =
            format!("the claim {named_by} is the group and the name, so all of the group would be one");
        check.problem(at, message, "name the claim that is the person's own in named_by");
        return None;
    }
    Some(Membership { group: group.get_ref().clone(), groups_claim, named_by })
}

fn claim(check: &mut Check<'_>, written: Option<&Spanned<String>>, usual: &str) -> Option<String> {
    let Some(written) = written else { return Some(usual.to_owned()) };
    let name = written.get_ref();
    if name.is_empty() || ALWAYS_CHECKED.contains(&name.as_str()) {
        let message = format!("the claim {name:?} says nothing about a person");
        check.problem(
            written.span(),
            message,
            format!("leave it out for {usual}, or name the provider's own"),
        );
        return None;
    }
    Some(name.clone())
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture::{ADMIN, compile, policy};
    use super::super::super::model::{Membership, Proof};

    const ENTRY: &str = r#"[[identities]]
operators = ["bob", "carol"]
issuer = "https://id.acme.example"
audience = "shortbread-console"
group = "sre-oncall"
"#;

    fn refused(entries: &str, says: &str) {
        let problems = compile(&format!("{ADMIN}{entries}")).expect_err(says);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(problems.iter().any(|p| p.message.contains(says) && !p.fix.is_empty()), "{says:?}: {told:?}");
    }

    fn replaced(from: &str, to: &str, says: &str) {
        assert!(ENTRY.contains(from), "{from}");
        refused(&ENTRY.replace(from, to), says);
    }

    #[test]
    fn operators_in_a_group_compile() {
        let read = policy(&format!("{ADMIN}{ENTRY}"));
        let entry = &read.identities()[1];
        let Proof::Oidc(oidc) = &entry.proof else { panic!("an issuer") };
        assert_eq!((entry.entry.as_str(), entry.principals.len()), ("bob+carol", 2));
        let membership = |groups: &str, by: &str| Membership {
            group: "sre-oncall".to_owned(),
            groups_claim: groups.to_owned(),
            named_by: by.to_owned(),
        };
        assert_eq!(oidc.membership, Some(membership("groups", "preferred_username")));
        assert!(oidc.claims.is_empty());
        assert_eq!(read.operators().len(), 3);
        let told = format!(
            "{ADMIN}{ENTRY}groups_claim = \"roles\"\nnamed_by = \"login\"\nclaims = {{ amr = \"mfa\" }}\n"
        );
        let read = policy(&told);
        let Proof::Oidc(oidc) = &read.identities()[1].proof else { panic!("an issuer") };
        assert_eq!((&oidc.membership, oidc.claims.len()), (&Some(membership("roles", "login")), 1));
    }

    #[test]
    fn they_can_be_granted_what_operators_are() {
        let grant = "[[grants]]\noperator = \"carol\"\ntool = \"shortbread\"\nverbs = [\"approvals.decide\"]\n\
                     [approvers.oncall]\nmembers = [\"carol\"]\n";
        policy(&format!("{ADMIN}{ENTRY}{grant}"));
        refused(&format!("{ENTRY}{}", grant.replace("carol", "dave")), "no identity is operator:dave");
    }

    #[test]
    fn what_could_be_nobody_or_two_is_refused() {
        replaced("[\"bob\", \"carol\"]", "[\"bob\", \"bob\"]", "operators is empty or names one twice");
        replaced("[\"bob\", \"carol\"]", "[]", "operators is empty or names one twice");
        replaced("[\"bob\", \"carol\"]", "[\"Bob\"]", "\"Bob\" is not valid");
        replaced("operators = [\"bob\", \"carol\"]", "operator = \"bob\"", "group means nothing beside");
        replaced("operators = [\"bob\", \"carol\"]", "workflow = \"w\"", "group means nothing beside");
        replaced("operators =", "operator = \"x\"\noperators =", "exactly one of");
        replaced("group = \"sre-oncall\"\n", "", "operators without a group");
        replaced("group = \"sre-oncall\"\n", "claims = { sub = \"1\" }\n", "operators without a group");
        replaced("\"sre-oncall\"", "\"\"", "group is empty");
        replaced("audience = \"shortbread-console\"\n", "", "has no audience");
        let more = |line: &str, says: &str| refused(&format!("{ENTRY}{line}\n"), says);
        more("reuse = \"until_expiry\"", "a person signs in anew");
        more("named_by = \"iss\"", "says nothing about a person");
        more("named_by = \"\"", "says nothing about a person");
        more("groups_claim = \"aud\"", "says nothing about a person");
        more("named_by = \"groups\"", "all of the group would be one");
        more("claims = {}", "no claims are demanded");
        replaced(
            "issuer = \"https://id.acme.example\"",
            "key = \"keys/bob.pub.pem\"",
            "means nothing beside a key",
        );
    }

    #[test]
    fn nobody_is_in_two_entries_of_one_provider() {
        let second = ENTRY.replace("sre-oncall", "leads");
        refused(&format!("{ENTRY}{second}"), "both list bob, carol");
        let apart = |second: &str| policy(&format!("{ADMIN}{ENTRY}{second}"));
        apart(&second.replace("[\"bob\", \"carol\"]", "[\"dave\"]"));
        apart(&ENTRY.replace("[\"bob\", \"carol\"]", "[\"dave\"]"));
        apart(&second.replace("shortbread-console", "another"));
        apart(&second.replace("id.acme.example", "id.other.example"));
    }

    #[test]
    fn who_is_an_operator_and_how_is_what_takes_two_to_change() {
        let surface = |text: &str| policy(&format!("{ADMIN}{text}")).admin_surface();
        let own = surface(ENTRY);
        for (from, to) in [
            ("\"carol\"]", "\"carol\", \"dave\"]"),
            ("[\"bob\", \"carol\"]", "[\"bob\"]"),
            ("\"sre-oncall\"", "\"staff\""),
            ("\"sre-oncall\"", "\"sre-oncall\"\nnamed_by = \"sub\""),
            ("\"sre-oncall\"", "\"sre-oncall\"\ngroups_claim = \"roles\""),
            ("shortbread-console", "another"),
        ] {
            assert!(ENTRY.contains(from), "{from}");
            assert_ne!(surface(&ENTRY.replace(from, to)), own, "{to}");
        }
        assert_eq!(
            surface(&ENTRY.replace("\"sre-oncall\"", "\"sre-oncall\"\nnamed_by = \"preferred_username\"")),
            own
        );
    }
}
