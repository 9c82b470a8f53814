// The certified provider of panva/node-oidc-provider for API clients: JWT (RFC 9068) and opaque access tokens,
// introspection with signed answers, revocation, DPoP. It prints its address on standard output once it listens.
//
// CLIENT, SECRET: the gateway's client, which introspects. `desk-cli` (secret `cli`) is an API client.
// POST /mint?kind=AccessToken|RefreshToken&client=… makes an opaque token of the person `ada`, without her browser.
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const { CLIENT, SECRET } = process.env;

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
    ],
    jwks: {
      keys: [
        key("ec", { namedCurve: "P-256" }, { kid: "ec", alg: "ES256" }),
        key("rsa", { modulusLength: 2048 }, { kid: "rsa", alg: "RS256" }),
      ],
    },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    // With `offline_access` it has refresh tokens.
    scopes: ["openid", "offline_access", "desk"],
    ttl: { AccessToken: 300, ClientCredentials: 300, Grant: 300, RefreshToken: 300 },
    cookies: { keys: ["not a secret"] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_, client) => client.clientId === CLIENT },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          scope: "desk",
          audience: resource.replace("urn:", ""),
          accessTokenFormat: "jwt",
          accessTokenTTL: 300,
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
  });
  provider.use(async (ctx, next) => {
    if (ctx.path !== "/mint") return next();
    const client = await provider.Client.find(ctx.query.client);
    const grant = new provider.Grant({ accountId: "ada", clientId: client.clientId });
    grant.addOIDCScope("openid desk");
    const common = { accountId: "ada", client, grantId: await grant.save(), gty: "authorization_code", scope: "openid desk" };
    ctx.body = await new provider[ctx.query.kind]({ ...common, claims: {} }).save();
  });
  provider.on("server_error", (_, error) => console.error(error));
  server.on("request", provider.callback());
  console.log(issuer);
});
