// Asks a Shortbread broker for a token with a stock OAuth library, openid-client 6.
//
// Discovery (RFC 8414), then client_credentials with a signed assertion (RFC 7523) of the workflow's registered Ed25519
// key, or token exchange (RFC 8693) with the workload's own JWT.
// Usage: node oauth_client.js ISSUER WORKFLOW KEY_FILE SCOPE

import { createPrivateKey, webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import * as oauth from "openid-client";

const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT = "urn:ietf:params:oauth:token-type:jwt";

export type Asked = Record<string, string>;
export type KeyPair = oauth.CryptoKeyPair;
export type Granted = Awaited<ReturnType<typeof oauth.clientCredentialsGrant>>;

/** Finds the broker, whose issuer the library compares, as a workflow with its key. */
export async function connect(issuer: string, workflow: string, keyFile: string): Promise<oauth.Configuration> {
  const der = createPrivateKey(readFileSync(keyFile)).export({ type: "pkcs8", format: "der" });
  const key = await webcrypto.subtle.importKey("pkcs8", der, "Ed25519", false, ["sign"]);
  const server = new URL(issuer);
  const loopback = server.protocol === "http:" && server.hostname === "127.0.0.1";
  return oauth.discovery(server, `workflow:${workflow}`, undefined, oauth.PrivateKeyJwt(key), {
    algorithm: "oauth2",
    execute: loopback ? [oauth.allowInsecureRequests] : [],
  });
}

/** A token for the bearer or, with a key, one that is bound to it by a proof (RFC 9449). */
export function clientCredentials(broker: oauth.Configuration, asked: Asked, key?: KeyPair): Promise<Granted> {
  return oauth.clientCredentialsGrant(broker, asked, proof(broker, key));
}

/** With a JWT of the workload's platform. The workload proves itself by it, so `broker` needs no client key: use `oauth.None()`. */
export function tokenExchange(
  broker: oauth.Configuration, subjectToken: string, asked: Asked, key?: KeyPair,
): Promise<Granted> {
  const subject = { subject_token: subjectToken, subject_token_type: JWT };
  return oauth.genericGrantRequest(broker, TOKEN_EXCHANGE, { ...subject, ...asked }, proof(broker, key));
}

/** A key to bind tokens to. Whoever calls a tool with such a token proves it again with each call. */
export function newKey(): Promise<KeyPair> {
  return oauth.randomDPoPKeyPair("Ed25519");
}

function proof(broker: oauth.Configuration, key?: KeyPair): oauth.DPoPOptions {
  return key === undefined ? {} : { DPoP: oauth.getDPoPHandle(broker, key) };
}

/** The broker's own word for a refusal, such as `policy.not_granted`. */
export async function reason(error: unknown): Promise<string | undefined> {
  let body: unknown;
  if (error instanceof oauth.ResponseBodyError) body = error.cause;
  // An identity that is not accepted: status 401 with a challenge, which the library reads instead of the body.
  if (error instanceof oauth.WWWAuthenticateChallengeError) body = await error.response.json();
  return (body as { shortbread?: { reason?: string } } | undefined)?.shortbread?.reason;
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  const [issuer = "", workflow = "", keyFile = "", scope = ""] = argv.slice(2);
  const granted = await clientCredentials(await connect(issuer, workflow, keyFile), { scope });
  console.log(granted.access_token);
}
