"""Holds the example for Authlib to what a broker answers: oauth.py ISSUER KEY_FILE"""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "schema" / "examples"))
import requests  # noqa: E402
from authlib.integrations.base_client import OAuthError  # noqa: E402
from biscuit_auth import AuthorizationError  # noqa: E402
from check_token import check  # noqa: E402
from oauth_client import Client  # noqa: E402

GITHUB = "http://127.0.0.1:8801"  # the audience that the example policy of `dev` gives the tool
CASES = []


def case(function):
    CASES.append(function)
    return function


def refused(client, error, reason, **asked):
    try:
        client.client_credentials(**asked)
    except OAuthError as refusal:
        assert (refusal.error, client.reason) == (error, reason), (refusal, client.reason)
        assert refusal.description, refusal
    else:
        raise AssertionError(f"granted {asked}")


def call(issued, verb, **args):
    now = datetime.fromtimestamp(issued, timezone.utc).isoformat()
    return {"time": now, "audience": GITHUB, "tool": "github", "verb": verb, "revocation_age": 5, "args": args}


def root(client):
    """The broker's token key, from the JWK set that the metadata names."""
    keys = requests.get(client.found["jwks_uri"], timeout=10).json()["keys"]
    (key,) = [key for key in keys if key["shortbread_purpose"] == "token"]
    biscuit = requests.get(client.found["shortbread"]["biscuit_web_keys_uri"], timeout=10).json()
    (listed,) = [one for one in biscuit if one["issuer"] == client.found["issuer"]]
    return {"root_public_key": f"ed25519/{listed['key_bytes']}", "root_key_name": key["kid"],
            "root_issuer": listed["issuer"]}


@case
def client_credentials_give_a_token_that_a_stock_library_checks(client):
    granted = client.client_credentials(scope="github:issues.read github:issues.write", resource=GITHUB)
    assert granted["token_type"] == "Bearer" and 0 < granted["expires_in"] <= 600, granted
    assert granted["scope"] == "github:issues.read github:issues.write", granted
    assert granted["shortbread"]["profile"] == "sb1", granted
    now = granted["expires_at"] - granted["expires_in"]
    check(granted["access_token"], root(client), call(now, "issues.write", repo="acme/web", title="x"))
    try:
        check(granted["access_token"], root(client), call(now, "issues.write", repo="acme/pay", title="x"))
    except AuthorizationError:
        return
    raise AssertionError("an argument that was not granted passed")


@case
def token_exchange_takes_authorization_details(client):
    detail = {"type": "shortbread_tool_call", "tool": "github", "actions": ["issues.write"],
              "constraints": {"issues.write": {"repo": {"eq": "acme/web"}}}, "ttl": 60}
    granted = client.token_exchange(authorization_details=json.dumps([detail]))
    assert granted["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token", granted
    (given,) = granted["authorization_details"]
    assert given["constraints"]["issues.write"]["repo"] == {"eq": "acme/web"}, given
    assert granted["expires_in"] <= 60, granted


@case
def what_is_not_granted_is_refused_with_a_reason(client):
    refused(client, "access_denied", "policy.not_granted", scope="github:repo.delete")
    refused(client, "invalid_scope", "scope.unknown", scope="github:no.such")
    refused(client, "invalid_target", "target.unknown", scope="github:issues.read", resource="http://127.0.0.1:1")


@case
def an_assertion_is_taken_once(client):
    once = client.assertion()
    client.assertion = lambda: once
    try:
        client.client_credentials(scope="github:issues.read")
        refused(client, "invalid_client", "identity.invalid", scope="github:issues.read")
    finally:
        del client.assertion


@case
def a_token_is_given_back(client):
    granted = client.client_credentials(scope="github:issues.read")
    answer = client.revoke_token(client.found["revocation_endpoint"], token=granted["access_token"])
    assert answer.status_code == 200, answer


def main(issuer, key_file):
    failed = 0
    for one in CASES:
        try:
            one(Client(issuer, "demo", key_file))
        except Exception as error:
            failed += 1
            print(f"  FAILED {one.__name__}: {type(error).__name__}: {error}")
    print(f"Authlib: {len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:]))
