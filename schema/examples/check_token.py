"""Checks a Shortbread token with a stock Biscuit library, biscuit-python 0.4 (biscuit-auth 6.0.0, Datalog 3.3).

For interoperability only: production uses the crate `shortbread-verifier`. What is left out here, and what no stock
library does, stands in ../token.md under "Stock libraries".
"""

import hashlib
from datetime import datetime, timedelta

from biscuit_auth import AuthorizerBuilder, Biscuit, Fact, PublicKey

AUTHORIZER = """
check if id("key", {key}), id("issuer", {issuer});
deny if id($kind, $value), revoked($kind, $value, $before), issued($at), $at < $before;
deny if operation($tool, $verb), right($tool, $verb, $access), revoked("access", $access, $before), issued($at), $at < $before;
deny if operation($tool, $verb), right($tool, $verb, $access), revoked("access", $scope, $before), $scope === $tool + "/" + $access, issued($at), $at < $before;
deny if issued($at), latest($l), $at > $l;
allow if operation($tool, $verb), right($tool, $verb, $access);
"""


class Refused(Exception):
    """The call must not be made."""


def check(token, root, call, revoked_blocks=frozenset(), profile_checked=False):
    """Returns where the call is allowed and raises everywhere else: whatever is raised is a refusal.

    `root` and `call` have the form of ../vectors/sb1.json. `revoked_blocks` are the ids of revoked blocks, 16 bytes each.
    `profile_checked` says that the whole profile check passed; without it a token to which a block was added is refused.
    """
    biscuit = Biscuit.from_base64(token, PublicKey(root["root_public_key"]))
    if biscuit.block_count() != 1 and not profile_checked:
        raise Refused("a block was added: a holder's Datalog is not run")
    ids = {hashlib.sha256(bytes.fromhex(signature)).digest()[:16] for signature in biscuit.revocation_ids}
    if ids & set(revoked_blocks):
        raise Refused("a block is revoked")
    names = {"key": root["root_key_name"], "issuer": root["root_issuer"]}
    builder = AuthorizerBuilder(AUTHORIZER, names)
    for name, *values in facts(call):
        slots = {f"v{at}": value for at, value in enumerate(values)}
        builder.add_fact(Fact(f"{name}({', '.join('{' + slot + '}' for slot in slots)})", slots))
    limits = builder.limits()
    limits.max_time = timedelta(seconds=1)  # the default of 1 ms refuses good tokens on a busy machine
    builder.set_limits(limits)
    builder.build(biscuit).authorize()


def facts(call):
    """What is known of the call. A fact that stands for work is there only where the work was done."""
    now, tool, verb = date(call["time"]), call["tool"], call["verb"]
    yield "time", now
    yield "latest", now + timedelta(seconds=30)
    yield "audience", call["audience"]
    yield "operation", tool, verb
    yield "id", "tool", tool
    yield "id", "verb", f"{tool}/{verb}"
    if "args" in call:  # the whole call was read
        yield "args", set(call["args"])
        sent = ((name, value) for name, value in call["args"].items() if "#" not in name and has_type(value))
        yield from (("arg", name, term(value)) for name, value in sent)
        # Facets such as "path#path" are computed from the arguments as ../token.md says, never taken from whoever calls;
        # where they are not computed, a token that asks for them is refused.
        yield from (("arg", name, value) for name, value in call.get("facets", {}).items())
    yield from ((name, call[name]) for name in ("holder", "unused", "revocation_age") if name in call)
    if "args_sha256" in call:
        yield "args_sha256", bytes.fromhex(call["args_sha256"])
    for entry in call.get("revoked", ()):  # and the list's `global` moment as a revocation of the issuer
        kind, value, before = entry["kind"], entry["value"], date(entry["before"])
        yield "revoked", kind, value, before
        if kind == "access" and value.split("/")[-1] == "write":  # write includes privileged
            yield "revoked", kind, value.removesuffix("write") + "privileged", before


def has_type(value):
    """Whether it is a text, an integer, a boolean, or a list of one of these types."""
    if type(value) is list:
        return all(type(item) in (str, int, bool) and type(item) is type(value[0]) for item in value)
    return type(value) in (str, int, bool)


def term(value):
    return set(value) if type(value) is list else value


def date(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
