"""Asks a Shortbread broker for a token with a stock OAuth library, Authlib 1.9.

Discovery (RFC 8414), then either grant with a signed assertion (RFC 7523) of the workflow's registered Ed25519 key.
Usage: oauth_client.py ISSUER WORKFLOW KEY_FILE SCOPE
"""

import sys
from pathlib import Path

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import private_key_jwt_sign
from authlib.oauth2.rfc8414 import get_well_known_url
from joserfc.jwk import OKPKey

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Client(OAuth2Session):
    """A workflow's session with its broker. `reason` is the broker's own word for the last refusal."""

    def __init__(self, issuer, workflow, key_file):
        found = requests.get(get_well_known_url(issuer, external=True), timeout=10).json()
        if found["issuer"] != issuer:  # RFC 8414, section 3.3: the library leaves this to its caller
            raise ValueError(f"{issuer} answers for {found['issuer']}")
        super().__init__(f"workflow:{workflow}", token_endpoint=found["token_endpoint"], default_timeout=10)
        self.found, self.reason = found, None
        self.key = OKPKey.import_key(pem(key_file))
        self.register_compliance_hook("access_token_response", self.keep_reason)

    def assertion(self):
        # Authlib's own PrivateKeyJWT lives for an hour; the broker takes assertions of at most 60 s, each once.
        return private_key_jwt_sign(self.key, self.client_id, self.found["issuer"], alg="Ed25519", expires_in=60)

    def client_credentials(self, **asked):
        return self.fetch_token(grant_type="client_credentials", client_assertion_type=CLIENT_ASSERTION,
                                client_assertion=self.assertion(), **asked)

    def token_exchange(self, **asked):
        return self.fetch_token(grant_type=TOKEN_EXCHANGE, subject_token_type=JWT,
                                subject_token=self.assertion(), **asked)

    def keep_reason(self, response):
        # The library's exception has `error` and `error_description` alone.
        self.reason = None if response.ok else response.json()["shortbread"]["reason"]
        return response


def pem(key_file):
    """The PEM block of a key file, which may begin with a remark."""
    text = Path(key_file).read_text()
    return text[text.index("-----BEGIN"):]


if __name__ == "__main__":
    issuer, workflow, key_file, scope = sys.argv[1:]
    print(Client(issuer, workflow, key_file).client_credentials(scope=scope)["access_token"])
