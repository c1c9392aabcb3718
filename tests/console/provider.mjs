// An OpenID Connect provider for tests: oidc-provider (certified), with people, groups and a plain login form.
//
//   node provider.mjs PORT REDIRECT_URI [SECONDS]
//
// It serves http://127.0.0.1:PORT until its standard input ends, and says `ready` once it listens. SECONDS sets its clock,
// for a broker whose clock stands still. Everyone's password is their name and `-password`; consent is not asked for.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";

const [port, redirect, seconds] = process.argv.slice(2);
if (seconds) {
  const System = Date, offset = Number(seconds) * 1000 - System.now();
  globalThis.Date = class extends System {
    constructor(...given) {
      given.length === 0 ? super(System.now() + offset) : super(...given);
    }
    static now() {
      return System.now() + offset;
    }
  };
}
const { Provider, errors } = await import("oidc-provider");

const groups = {
  alice: ["staff", "sre-oncall"],
  bob: ["staff", "sre-oncall"],
  carol: ["staff"],
  dave: ["sre-oncall"],
  mallory: ["staff"],
};
const issuer = `http://127.0.0.1:${port}`;
const client = (client_id, more) => ({
  client_id,
  redirect_uris: [redirect],
  grant_types: ["authorization_code"],
  response_types: ["code"],
  ...more,
});
const key = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });

const provider = new Provider(issuer, {
  clients: [
    client("shortbread-console", { client_secret: "a secret: of 100%", token_endpoint_auth_method: "client_secret_basic" }),
    client("shortbread-public", { token_endpoint_auth_method: "none" }),
    client("another-app", { token_endpoint_auth_method: "none" }),
  ],
  jwks: { keys: [{ ...key, use: "sig", alg: "RS256", kid: "one" }] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
  // Where a client gets an access token too, its ID token has these claims all the same.
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: false } },
  interactions: { url: (_, interaction) => `/login/${interaction.uid}` },
  findAccount: (_, sub) => {
    const name = sub.replace(/^u-/, "");
    if (!Object.hasOwn(groups, name)) return undefined;
    return { accountId: sub, claims: () => ({ sub, preferred_username: name, groups: groups[name] }) };
  },
  // Everything that is asked for is granted.
  loadExistingGrant: async (ctx) => {
    const { client: asking, session, params } = ctx.oidc;
    const grant = new provider.Grant({ clientId: asking.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope);
    await grant.save();
    return grant;
  },
  ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 3600, IdToken: 300, Interaction: 600, Session: 3600 },
});

function form(uid, remark) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title>
<h1>Sign in at Acme</h1>${remark ? `<p role="alert">${remark}</p>` : ""}
<form method="post" action="/login/${encodeURIComponent(uid)}">
<label>Name <input name="name" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button>
</form><form method="post" action="/login/${encodeURIComponent(uid)}"><button name="cancel" value="1">Cancel</button></form></html>`;
}

async function body(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return new URLSearchParams(text);
}

async function login(request, answer) {
  const { uid } = await provider.interactionDetails(request, answer);
  const page = (remark) => answer.writeHead(200, { "content-type": "text/html" }).end(form(uid, remark));
  if (request.method !== "POST") return page();
  const told = await body(request);
  const finish = (result) => provider.interactionFinished(request, answer, result, { mergeWithLastSubmission: false });
  if (told.get("cancel")) return finish({ error: "access_denied", error_description: "cancelled" });
  const name = told.get("name") ?? "";
  if (!Object.hasOwn(groups, name) || told.get("password") !== `${name}-password`) return page("Wrong name or password.");
  return finish({ login: { accountId: `u-${name}` } });
}

const serve = provider.callback();
const server = createServer((request, answer) => {
  if (!request.url.startsWith("/login/")) return serve(request, answer);
  login(request, answer).catch((error) => {
    answer.writeHead(error instanceof errors.OIDCProviderError ? 400 : 500).end(error.message);
  });
});
server.listen(Number(port), "127.0.0.1", () => console.log("ready"));
process.stdin.on("end", () => process.exit(0)).resume();
