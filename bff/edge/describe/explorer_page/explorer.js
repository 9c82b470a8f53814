// Swagger UI on this gateway's own description. Requests go to the origin of this page alone.
const WRITES = ['POST', 'PUT', 'PATCH', 'DELETE']
const KEY = 'Idempotency-Key'
// The page is /docs/explorer below the gateway's own address, whatever prefix a proxy or a mount puts before it.
const base = new URL('..', document.baseURI)

function newKey() {
  // crypto.randomUUID exists on https and localhost only.
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}

// The form must not demand what the interceptor fills in.
function withoutRequiredKeys(description) {
  for (const operations of Object.values(description.paths)) {
    for (const operation of Object.values(operations)) {
      for (const parameter of operation.parameters ?? []) {
        if (parameter.name === KEY) {
          parameter.required = false
          parameter.description = 'Filled in with a new key where it is empty. The same key again repeats the command.'
        }
      }
    }
  }
  return description
}

function intercept(request) {
  if (WRITES.includes((request.method ?? 'GET').toUpperCase())) {
    const given = Object.keys(request.headers).find(name => name.toLowerCase() === KEY.toLowerCase())
    if (given === undefined || request.headers[given] === '') request.headers[given ?? KEY] = newKey()
    request.headers['X-BFF'] = '1'
  }
  request.credentials = 'same-origin'
  return request
}

async function show() {
  const answer = await fetch(new URL('openapi.json', base))
  if (!answer.ok) throw new Error(`/openapi.json answers ${answer.status}`)
  const description = withoutRequiredKeys(await answer.json())
  description.servers = [{ url: base.href.replace(/\/$/, '') }]
  globalThis.explorer = SwaggerUIBundle({
    dom_id: '#explorer',
    spec: description,
    validatorUrl: null,
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    persistAuthorization: false,
    requestInterceptor: intercept,
    syntaxHighlight: { activated: true, theme: 'nord' },
  })
}

show().catch(error => {
  document.querySelector('#explorer').textContent = `The description cannot be shown: ${error.message}`
})
