// A console for /bff/live: opens the stream by fetch, which can show a refusal and send a token, as EventSource cannot.
const MOST = 200 // events that are shown; older ones leave the page
const LONG = 1024 * 1024 // characters of one event at most; a longer one ends the stream
const base = new URL('../..', document.baseURI)
const form = document.querySelector('#connect')
const state = document.querySelector('#state')
const events = document.querySelector('#events')
const closing = document.querySelector('#close')
let open = null

function element(name, text, ...children) {
  const made = document.createElement(name)
  made.append(...(text === '' ? [] : [text]), ...children)
  return made
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

function add(name, id, data) {
  const head = element('summary', '', element('strong', name), ` ${new Date().toLocaleTimeString()} ${id ?? ''}`)
  const entry = element('li', '', element('details', '', head, element('pre', pretty(data))))
  entry.dataset.event = name
  events.prepend(entry)
  while (events.children.length > MOST) events.lastElementChild.remove()
}

// The event stream format (HTML Living Standard section 9.2.6), with LF as this gateway writes it.
function parse(block) {
  const event = { name: 'message', id: undefined, data: [] }
  for (const line of block.split('\n')) {
    const [, field, value] = line.match(/^([^:]*):? ?(.*)$/s)
    if (field === 'event') event.name = value
    else if (field === 'id') event.id = value
    else if (field === 'data') event.data.push(value)
  }
  return event
}

async function follow(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const blocks = (text + value.replaceAll('\r', '')).split('\n\n')
    text = blocks.pop()
    if (text.length > LONG) throw new Error('an event is too long to be shown')
    for (const event of blocks.map(parse)) {
      if (event.data.length === 0) continue
      add(event.name, event.id, event.data.join('\n'))
      if (event.id !== undefined) form.elements.after.value = event.id
    }
  }
}

form.addEventListener('submit', async submitted => {
  submitted.preventDefault()
  open?.abort()
  const mine = (open = new AbortController())
  const url = new URL('bff/live', base)
  for (const value of form.elements.values.value.split(/\s+/).filter(Boolean)) url.searchParams.append('value', value)
  if (form.elements.after.value) url.searchParams.set('after', form.elements.after.value)
  const headers = { accept: 'text/event-stream' }
  if (form.elements.token.value) headers.authorization = `Bearer ${form.elements.token.value}`
  closing.disabled = false
  state.textContent = 'opening'
  try {
    const answer = await fetch(url, { headers, signal: mine.signal })
    state.textContent = answer.ok ? 'open' : `refused: ${answer.status}`
    if (answer.ok) await follow(answer)
    else add('problem', undefined, await answer.text())
    if (answer.ok) state.textContent = 'ended by the gateway'
  } catch (error) {
    if (open === mine) state.textContent = mine.signal.aborted ? 'closed' : `lost: ${error.message}`
  } finally {
    if (open === mine) closing.disabled = true
  }
})
closing.addEventListener('click', () => open?.abort())
document.querySelector('#clear').addEventListener('click', () => events.replaceChildren())

async function describe() {
  const answer = await fetch(new URL('asyncapi.json', base))
  const { components } = await answer.json()
  const shown = document.querySelector('#messages')
  for (const [name, message] of Object.entries(components.messages)) {
    const payload = message.payload.$ref?.split('/').pop()
    const schema = payload === undefined ? message.payload : components.schemas[payload]
    const head = element('summary', '', element('code', name), ` ${message.title ?? ''}`)
    shown.append(element('details', '', head, element('pre', JSON.stringify(schema, null, 2))))
  }
}
describe().catch(error => {
  document.querySelector('#messages').textContent = `/asyncapi.json cannot be shown: ${error.message}`
})
