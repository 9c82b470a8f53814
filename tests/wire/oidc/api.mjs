// The certified provider of panva/node-oidc-provider for API clients: JWT (RFC 9068) and opaque access tokens,
// introspection with signed answers, revocation, DPoP. It prints its address on standard output once it listens.
//
// CLIENT, SECRET: the gateway's client, which introspects. `desk-cli`, `other-cli` and `brief-cli` (secret `cli`) are API
// clients; tokens of the last one are valid for a second. With `desk-app` (secret `app`) the person whom `login_hint` names
// signs in without being asked; LOGOUTS is where its logout tokens go.
// POST /mint?kind=AccessToken|RefreshToken&client=…&scope=… makes an opaque token of the person `ada`, without her browser.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const { CLIENT, SECRET, LOGOUTS } = process.env;
// Roles by person; an API client without a person is an auditor.
const ROLES = { ada: ["clerk"], grace: ["guest"] };

function key(kind, options, members) {
  const { privateKey } = generateKeyPairSync(kind, options);
  return { ...privateKey.export({ format: "jwk" }), use: "sig", ...members };
}

const machine = (client_id, client_secret, more) => ({
  client_id,
  client_secret,
  grant_types: ["client_credentials"],
  redirect_uris: [],
  response_types: [],
  ...more,
});

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      machine(CLIENT, SECRET, { introspection_signed_response_alg: "ES256" }),
      machine("desk-cli", "cli"),
      machine("other-cli", "cli"),
      machine("brief-cli", "cli"),
      {
        client_id: "desk-app",
        client_secret: "app",
        redirect_uris: ["https://app.test/callback"],
        backchannel_logout_uri: LOGOUTS,
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
      },
    ],
    jwks: {
      keys: [
        key("ec", { namedCurve: "P-256" }, { kid: "ec", alg: "ES256" }),
        key("rsa", { modulusLength: 2048 }, { kid: "rsa", alg: "RS256" }),
      ],
    },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    // With `offline_access` it has refresh tokens.
    scopes: ["openid", "offline_access", "desk", "desk.read", "desk.write"],
    extraTokenClaims: (_, token) => ({ roles: token.accountId ? ROLES[token.accountId] : ["auditor"] }),
    ttl: {
      AccessToken: 300,
      ClientCredentials: (_, token) => (token.clientId === "brief-cli" ? 1 : 300),
      Grant: 300,
      IdToken: 300,
      Interaction: 300,
      RefreshToken: 300,
      Session: 300,
    },
    cookies: { keys: ["not a secret"] },
    // Its own HTTP client refuses addresses on this machine, where the receiver of a test is.
    fetch: (url, { dispatcher: _, ...options }) => fetch(url, options),
    features: {
      backchannelLogout: { enabled: true },
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_, client) => client.clientId === CLIENT },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => ({
          scope: "desk desk.read desk.write",
          audience: resource.replace("urn:", ""),
          accessTokenFormat: "jwt",
          accessTokenTTL: 300,
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
  });
  // Sign-in and consent, without a person who is asked.
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith("/interaction/")) return next();
    const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
    if (prompt.name === "login") {
      const result = { login: { accountId: params.login_hint } };
      return provider.interactionFinished(ctx.req, ctx.res, result);
    }
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    if (params.resource) grant.addResourceScope(params.resource, params.scope);
    return provider.interactionFinished(ctx.req, ctx.res, { consent: { grantId: await grant.save() } });
  });
  provider.use(async (ctx, next) => {
    if (ctx.path !== "/mint") return next();
    const client = await provider.Client.find(ctx.query.client);
    const grant = new provider.Grant({ accountId: "ada", clientId: client.clientId });
    const scope = ctx.query.scope ?? "openid desk";
    grant.addOIDCScope(scope);
    const common = { accountId: "ada", client, grantId: await grant.save(), gty: "authorization_code", scope };
    ctx.body = await new provider[ctx.query.kind]({ ...common, claims: {} }).save();
  });
  provider.on("server_error", (_, error) => console.error(error));
  server.on("request", provider.callback());
  console.log(issuer);
});
